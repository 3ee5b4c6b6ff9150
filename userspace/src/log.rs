//! Where the daemon's log goes: to the journal with fields of their own, where standard error is the journal's; else to
//! standard error as text.

use std::{
    env,
    fmt::{self, Debug, Write as _},
    fs::File,
    io::{self, IsTerminal, Write},
    os::{
        fd::AsFd,
        unix::{fs::MetadataExt, net::UnixDatagram},
    },
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{EnvFilter, Layer, layer::Context, layer::SubscriberExt, util::SubscriberInitExt};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends what is logged from here on to where it belongs. `OCTROI_LOG` says what is logged; by default, all but debugging.
pub fn start() {
    let filter = EnvFilter::try_from_env("OCTROI_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    if let Some(journal) = Journal::of_standard_error() {
        registry.with(journal).init();
        return;
    }
    let text = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // A log that cannot be written is lost; the gate goes on.
        .log_internal_errors(false);
    registry.with(text).init();
}

/// The journal, in its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). Not by the crate tracing-journald, whose messages
/// are without their fields: `journalctl` would show "not filtered", and neither the interface nor why.
struct Journal(UnixDatagram);

impl Journal {
    /// Where standard error is one of the journal's streams and the journal listens.
    fn of_standard_error() -> Option<Self> {
        let stream = env::var("JOURNAL_STREAM").ok()?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        if stream != format!("{}:{}", stderr.dev(), stderr.ino()) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        Some(Self(socket))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::new(*event.metadata().level());
        event.record(&mut entry);
        let (bytes, text) = entry.finish();
        if self.0.send(&bytes).is_err() {
            // Standard error leads to the journal, too; without fields.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// What the journal is sent of one event.
struct Entry {
    fields: Vec<u8>,
    message: String,
    /// As standard error shows them behind the message.
    shown: String,
}

impl Entry {
    fn new(level: Level) -> Self {
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        };
        let mut entry = Self { fields: Vec::new(), message: String::new(), shown: String::new() };
        entry.put("PRIORITY", priority);
        entry.put("SYSLOG_IDENTIFIER", "octroi");
        entry
    }

    fn finish(mut self) -> (Vec<u8>, String) {
        let text = format!("{}{}", self.message, self.shown);
        self.put("MESSAGE", &text);
        (self.fields, text)
    }

    fn put(&mut self, name: &str, value: &str) {
        self.fields.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.fields.push(b'\n');
            self.fields.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.fields.push(b'=');
        }
        self.fields.extend_from_slice(value.as_bytes());
        self.fields.push(b'\n');
    }

    fn field(&mut self, field: &Field, value: &str, shown: fmt::Arguments<'_>) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        // The journal takes capital letters, digits and underscores.
        let name = field.name().to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        self.put(&format!("OCTROI_{name}"), value);
        // Writing to a string cannot fail.
        let _ = write!(self.shown, " {}={shown}", field.name());
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value, format_args!("{value:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        self.field(field, &value, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_the_whole_message_and_each_field() {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        let registry = tracing_subscriber::registry().with(Journal(ours));
        let error = "two\nlines";
        tracing::subscriber::with_default(registry, || {
            tracing::error!(interface = "eth1", %error, index = 7, "not filtered");
        });
        let mut buffer = [0; 1024];
        let length = theirs.recv(&mut buffer).expect("an entry");
        let error = b"OCTROI_ERROR\n\x09\0\0\0\0\0\0\0two\nlines\n";
        let message =
            b"MESSAGE\n\x35\0\0\0\0\0\0\0not filtered interface=\"eth1\" error=two\nlines index=7\n";
        let wanted: &[&[u8]] = &[
            b"PRIORITY=3\nSYSLOG_IDENTIFIER=octroi\n",
            b"OCTROI_INTERFACE=eth1\n",
            error,
            b"OCTROI_INDEX=7\n",
            message,
        ];
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&buffer[..length]), text(&wanted.concat()));
    }
}
