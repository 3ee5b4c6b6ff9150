//! A server inside that says what it hears, and somebody who talks to it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::netns::Lab;

/// Answers everything that comes to a port inside, byte for byte, for as long as the test runs.
///
/// # Panics
/// Where the port is taken.
#[track_caller]
pub fn serve(lab: &Lab, port: u16) {
    let listener =
        lab.inside.run(|| TcpListener::bind(("0.0.0.0", port)).expect("listen in a namespace of ours"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Says something over a connection to such a server, and has it back.
pub fn talks(stream: &mut TcpStream) -> bool {
    let mut back = [0; 5];
    stream.write_all(b"hello").and_then(|()| stream.read_exact(&mut back)).is_ok() && &back == b"hello"
}
