//! How many schema versions a model remembers of the datasets its predictions were made from.

use super::super::versions::forget_oldest;
use super::*;

impl Model {
    /// Forgets the versions met first where there are too many, but none of a window that is kept.
    pub(super) fn forget_versions(&mut self) {
        let keys = self.windows.values().flat_map(|window| window.cells.keys());
        let origins = keys.flat_map(|key| &key.exposure);
        let live = origins.map(|of| (of.dataset.clone(), of.schema_version.clone()));
        let versions = &mut self.core.learnt.versions;
        forget_oldest(versions, |(first_seen, _)| *first_seen, || live.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::versions::VERSIONS_MAX;
    use super::*;
    use crate::event::cell::Origin;

    #[test]
    fn ever_new_versions_are_forgotten_oldest_first_and_those_in_use_never() {
        let mut model = Model::default();
        let origin = |version: &str| Origin {
            dataset: "orders".into(),
            producer: "pos-1".into(),
            schema_version: version.into(),
        };
        let key = ModelCellKey { model_version: "m1".into(), exposure: vec![origin("v0001")] };
        let window = model.windows.entry(EventTime(0)).or_default();
        window.cells.insert(key, Default::default());
        for n in 0..1_000 {
            let version = ("orders".to_owned(), format!("v{n:04}"));
            model.core.learnt.versions.insert(version, (EventTime(n), false));
            model.forget_versions();
        }

        let names: Vec<&String> = model.core.learnt.versions.keys().map(|(_, name)| name).collect();
        assert_eq!(names.len(), VERSIONS_MAX);
        assert_eq!((names[0].as_str(), names[1].as_str()), ("v0001", "v0745"));
    }
}
