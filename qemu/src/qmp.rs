//! QEMU's machine protocol: one JSON object a line ("QEMU Machine Protocol Specification",
//! docs/interop/qmp-spec.rst in QEMU's sources). A codec only; the sockets are elsewhere.

use serde_json::{Value, json};

/// One message from QEMU.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    Greeting,
    Return {
        id: Option<u64>,
        value: Value,
    },
    Error {
        id: Option<u64>,
        description: String,
    },
    Event {
        name: String,
        data: Value,
    },
}

/// A command as a line.
pub(crate) fn command(name: &str, arguments: Value, id: u64) -> Vec<u8> {
    let mut line = match arguments {
        Value::Null => json!({ "execute": name, "id": id }),
        arguments => json!({ "execute": name, "arguments": arguments, "id": id }),
    }
    .to_string();
    line.push('\n');
    line.into_bytes()
}

/// Reads one line of QEMU's.
pub(crate) fn parse(line: &[u8]) -> Result<Message, String> {
    let mut value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let id = value.get("id").and_then(Value::as_u64);
    if value.get("QMP").is_some() {
        return Ok(Message::Greeting);
    }
    if let Some(result) = value.get_mut("return") {
        return Ok(Message::Return {
            id,
            value: result.take(),
        });
    }
    if let Some(error) = value.get("error") {
        let description = error
            .get("desc")
            .and_then(Value::as_str)
            .unwrap_or("no description");
        return Ok(Message::Error {
            id,
            description: description.to_owned(),
        });
    }
    if let Some(name) = value
        .get("event")
        .and_then(Value::as_str)
        .map(str::to_owned)
    {
        let data = value
            .get_mut("data")
            .map(Value::take)
            .unwrap_or(Value::Null);
        return Ok(Message::Event { name, data });
    }
    Err("a message of no known kind".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lines_of_json() {
        let line = command("quit", Value::Null, 7);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"execute\":\"quit\",\"id\":7}\n"
        );
        let line = command("screendump", json!({"filename": "a\nb"}), 8);
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }

    #[test]
    fn messages_are_told_apart() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 2}}, "capabilities": ["oob"]}}"#;
        assert_eq!(parse(greeting), Ok(Message::Greeting));
        assert_eq!(
            parse(br#"{"return": {}, "id": 3}"#),
            Ok(Message::Return {
                id: Some(3),
                value: json!({})
            })
        );
        assert_eq!(
            parse(br#"{"id": 4, "error": {"class": "GenericError", "desc": "no"}}"#),
            Ok(Message::Error {
                id: Some(4),
                description: "no".to_owned()
            })
        );
        let event = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#;
        assert_eq!(
            parse(event),
            Ok(Message::Event {
                name: "SHUTDOWN".to_owned(),
                data: json!({"guest": true, "reason": "guest-shutdown"})
            })
        );
        assert!(parse(b"{}").is_err());
        assert!(parse(b"not json").is_err());
    }
}
