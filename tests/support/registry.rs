//! A plain client of the schema registry, sharing no code with what is tested.

use std::collections::BTreeMap;

use driftline::demo::record::SchemaRef;
use serde_json::{Value, json};

/// Schemas of orders registered before version 12, so that its number is 12.
const PREDECESSORS: u32 = 11;

/// A client.
pub struct RegistryClient {
    url: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl RegistryClient {
    /// Of the registry at a URL.
    pub fn new(url: &str) -> RegistryClient {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        RegistryClient {
            url: url.to_owned(),
            http: reqwest::Client::new(),
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Registers the stream's schemas under the app's own subjects, each marked as the app's, so
    /// that no other test has the same text and with it the same id.
    pub fn register(&self, app: &str) -> BTreeMap<SchemaRef, u32> {
        for number in 1..=PREDECESSORS {
            let doc = format!("{app}, draft {number}");
            self.post(&format!("{app}-orders-value"), &marked(SchemaRef::OrderV12, &doc));
        }
        let all = [SchemaRef::OrderV12, SchemaRef::OrderV13, SchemaRef::Score, SchemaRef::Label];
        all.into_iter()
            .map(|schema| {
                let subject = format!("{app}-{}", schema.subject());
                (schema, self.post(&subject, &marked(schema, app)))
            })
            .collect()
    }

    fn post(&self, subject: &str, schema: &str) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", self.url);
        let body = json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        let request = self.http.post(url).header("content-type", "application/json").body(body);
        id_of(&self.send(request))
    }

    /// The text of a schema.
    pub fn schema(&self, id: u32) -> String {
        let answer = self.send(self.http.get(format!("{}/schemas/ids/{id}", self.url)));
        answer["schema"].as_str().expect("a schema").to_owned()
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let text = self.runtime.block_on(async {
            let response = request.send().await.expect("the registry answers");
            let status = response.status();
            let text = response.text().await.expect("a body");
            assert!(status.is_success(), "{status}: {text}");
            text
        });
        serde_json::from_str(&text).expect("JSON")
    }
}

fn marked(schema: SchemaRef, doc: &str) -> String {
    let mut text: Value = serde_json::from_str(schema.text()).expect("a schema is JSON");
    text["doc"] = json!(doc);
    text.to_string()
}

fn id_of(answer: &Value) -> u32 {
    let id = answer["id"].as_u64().expect("an id");
    u32::try_from(id).expect("ids are 32 bit")
}
