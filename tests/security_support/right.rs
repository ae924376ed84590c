//! One right out of a printed `kafka-acls.sh` command: an operation on a resource.

/// An operation on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedRight {
    pub operation: String,
    /// The option that names the resource, such as `--topic`.
    option: String,
    pub name: String,
    is_prefix: bool,
}

impl PrintedRight {
    /// All of a command, given in words.
    pub fn all_of(words: &[String]) -> Vec<PrintedRight> {
        let pairs = || words.iter().zip(&words[1..]);
        let operations = pairs().filter(|(word, _)| *word == "--operation");
        let is_prefix = words.iter().any(|word| word == "prefixed");
        let right = |operation: &String, option: &String, name: &String| PrintedRight {
            operation: operation.clone(),
            option: option.clone(),
            name: name.clone(),
            is_prefix,
        };
        operations
            .flat_map(|(_, operation)| {
                let resources = pairs().filter(|(option, _)| resource(option).is_some());
                resources.map(move |(option, name)| right(operation, option, name))
            })
            .collect()
    }

    /// The words of it in a command.
    pub fn words(&self) -> Vec<&str> {
        let words = ["--operation", &self.operation, &self.option, &self.name];
        let prefixed: &[&str] =
            if self.is_prefix { &["--resource-pattern-type", "prefixed"] } else { &[] };
        [&words[..], prefixed].concat()
    }

    /// What is said of the resource.
    pub fn subject(&self) -> String {
        let (resource, name) = (resource(&self.option).expect("chosen by it"), &self.name);
        if self.is_prefix { format!("{resource}s {name}*") } else { format!("{resource} {name}") }
    }
}

fn resource(option: &str) -> Option<&'static str> {
    match option {
        "--topic" => Some("topic"),
        "--group" => Some("group"),
        "--transactional-id" => Some("transactional id"),
        _ => None,
    }
}
