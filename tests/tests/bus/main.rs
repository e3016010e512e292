//! Promises about the D-Bus API, over a real dbus-daemon and the real daemon.
#![forbid(unsafe_code)]

mod activation;
mod apps;
mod away;
mod bad;
mod ctl;
mod faults;
mod handed_on;
mod introspection;
mod modules;
mod objects;
mod others;
mod polkit;
mod settings;
mod steering;

use std::collections::HashMap;
use std::future::Future;

use coldshoe_tests::PATIENCE;
use tokio::time::timeout;
use zbus::message::Type;
use zbus::{DBusError, Message, MessageStream, OwnedVariant, Variant};

/// Runs a test that waits for the bus, and ends it if the bus never answers.
fn on_bus<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test)
}

/// No options.
fn none() -> HashMap<&'static str, Variant<'static>> {
    HashMap::new()
}

/// One entry.
fn one(name: &str, value: impl Into<Variant<'static>>) -> HashMap<&str, Variant<'static>> {
    HashMap::from([(name, value.into())])
}

/// The name and the text of the error that a call ended with.
fn refusal<T: std::fmt::Debug>(called: zbus::Result<T>) -> (String, String) {
    match called {
        Err(zbus::Error::MethodError(name, text, _)) => {
            (name.to_string(), text.unwrap_or_default())
        }
        Err(zbus::Error::FDO(error)) => {
            let text = error.description().unwrap_or_default().to_owned();
            (error.name().to_string(), text)
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Checks the name of an error, and that its text has three lines and says something.
fn refused<T: std::fmt::Debug>(called: zbus::Result<T>, name: &str, said: &str) {
    let (found, text) = refusal(called);
    let name = match name.split_once('.') {
        Some(_) => name.to_owned(),
        None => format!("org.coldshoe.Coldshoe1.Error.{name}"),
    };
    assert_eq!(found, name, "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains(said), "{said:?} is not in\n{text}");
}

/// The next signal that answers a question.
async fn next<T>(signals: &mut MessageStream, wanted: impl Fn(&Message) -> Option<T>) -> T {
    use std::future::poll_fn;
    use std::pin::Pin;
    use zbus::export::futures_core::Stream;
    let found = async {
        loop {
            let message = poll_fn(|task| Pin::new(&mut *signals).poll_next(task)).await;
            let message = message.expect("the bus is there").expect("a message");
            if message.message_type() == Type::Signal
                && let Some(found) = wanted(&message)
            {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the signal comes")
}

/// What a PropertiesChanged on a path says.
fn changed(message: &Message, path: &str) -> Option<HashMap<String, OwnedVariant>> {
    let header = message.header();
    let ours = header.member()?.as_str() == "PropertiesChanged" && header.path()?.as_str() == path;
    let body = message.body();
    let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) =
        ours.then(|| body.deserialize().expect("its signature"))?;
    Some(changed)
}
