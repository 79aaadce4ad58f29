//! Owns an nginx that serves the files of a folder: ranges, conditions, strong entity tags.
//! Its tag is made of a file's time in seconds and its length: two files of one length and one second have the same.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::client;
use crate::installed;
use crate::port::Port;
use crate::process::{Launch, Place, Process};

/// A running nginx. It ends when it is dropped.
#[derive(Debug)]
pub struct Nginx {
    port: Port,
    process: Process,
}

impl Nginx {
    /// What lies under this folder of the root is refused with 403.
    pub const DENIED: &str = "denied";

    /// Serves the files under `root`, and returns when it answers.
    ///
    /// # Errors
    /// nginx is not installed or does not start.
    pub fn start(root: &Path) -> io::Result<Nginx> {
        let port = Port::take()?;
        let folder = Place::Temporary.folder()?;
        let configuration = folder.path().join("nginx.conf");
        fs::write(&configuration, configuration_text(&root.canonicalize()?, port.address())?)?;
        let launch = Launch::new(installed::on_path("nginx")?, folder)
            .argument("-p")
            .argument(configuration.with_file_name(""))
            .argument("-e")
            .argument("stderr")
            .argument("-c")
            .argument(configuration);
        let address = port.address();
        let process = launch.start(|| client::request(address, "GET", "/", &[], &[]).is_ok())?;
        Ok(Nginx { port, process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of the file at `path` under the root.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address())
    }

    /// Its process, for who measures what it takes: the workers are its children.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// `user root` lets the workers of an administrator's nginx read what only that may read; it means nothing to others'.
fn configuration_text(root: &Path, address: SocketAddr) -> io::Result<String> {
    let root = root.to_str().filter(|root| !root.contains(['"', '\\', '$']));
    let root =
        root.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the root's name is too odd"))?;
    let denied = Nginx::DENIED;
    Ok(format!(
        "user root;
worker_processes 2;
daemon off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type application/octet-stream;
    server {{
        listen {address};
        root \"{root}\";
        location /{denied}/ {{ deny all; }}
    }}
}}
"
    ))
}
