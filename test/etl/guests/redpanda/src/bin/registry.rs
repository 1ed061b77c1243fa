//! The schema registry: the value is a question, the answer is JSON.
//!   id N   latest SUBJECT   version SUBJECT N   create SUBJECT avro|protobuf|json SCHEMA
use redpanda_transform_sdk::*;
use redpanda_transform_sdk_sr::*;
use serde_json::{json, Value};

fn main() {
    let mut client = SchemaRegistryClient::new();
    let client = std::cell::RefCell::new(std::mem::take(&mut client));
    on_record_written(move |event, writer| {
        let question = String::from_utf8_lossy(event.record.value().unwrap_or_default()).to_string();
        let answer = ask(&mut client.borrow_mut(), &question).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writer.write(BorrowedRecord::new(event.record.key(), Some(answer.to_string().as_bytes())))
    })
}

fn ask(client: &mut SchemaRegistryClient, question: &str) -> Result<Value> {
    let words: Vec<&str> = question.splitn(4, ' ').collect();
    match words[..] {
        ["id", id] => Ok(shown(&client.lookup_schema_by_id(SchemaId(id.parse().unwrap()))?)),
        ["latest", subject] => Ok(subject_shown(&client.lookup_latest_schema(subject)?)),
        ["version", subject, version] => {
            Ok(subject_shown(&client.lookup_schema_by_version(subject, SchemaVersion(version.parse().unwrap()))?))
        }
        ["create", subject, format, schema] => {
            let format = match format {
                "avro" => SchemaFormat::Avro,
                "protobuf" => SchemaFormat::Protobuf,
                _ => SchemaFormat::Json,
            };
            let made = client.create_schema(subject, Schema::new(schema, format, vec![]))?;
            Ok(json!({ "id": made.id().0 }))
        }
        _ => panic!("cannot read {question}"),
    }
}

fn subject_shown(found: &SubjectSchema) -> Value {
    json!({ "id": found.id().0, "version": found.version().0, "subject": found.subject(), "schema": shown(found.schema()) })
}

fn shown(schema: &Schema) -> Value {
    let references: Vec<Value> =
        schema.references().iter().map(|r| json!([r.name(), r.subject(), r.version().0])).collect();
    json!({ "format": format!("{:?}", schema.format()), "text": schema.schema(), "references": references })
}
