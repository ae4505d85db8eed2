//! Where the ABCI server listens, and the sockets of either kind.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// The longest path that a Unix socket may have on Linux and macOS alike, in bytes.
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// Where the ABCI server listens: `unix:///path/app.sock` or `tcp://127.0.0.1:26658`, as in
/// CometBFT's `proxy_app`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// A socket file: the default, since only the same user reaches it.
    Unix(PathBuf),
    /// An IP address and a port, for a CometBFT in another container.
    Tcp(SocketAddr),
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not of either form.
    #[error(
        "'{0}' is no ABCI address: write unix:///path/app.sock, or tcp://127.0.0.1:26658 with an \
         IP address"
    )]
    BadAddress(String),
    /// The operating system takes no such path.
    #[error(
        "the socket path {} has {bytes} bytes, more than the {MAX_SOCKET_PATH_BYTES} that a Unix \
         socket may have: choose a shorter home",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// A second node on one home.
    #[error("another process is listening on {0}: stop it, or choose another address")]
    InUse(Address),
    /// The path is taken by something that is not ours to remove.
    #[error("{} exists and is not a socket: move it away, or choose another address", .0.display())]
    NotASocket(PathBuf),
    /// Anything else that the operating system says.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

impl FromStr for Address {
    type Err = BindError;

    fn from_str(text: &str) -> Result<Self, BindError> {
        let bad_address = || BindError::BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() { Err(bad_address()) } else { Ok(Self::Unix(path.into())) };
        }
        let address = text.strip_prefix("tcp://").ok_or_else(bad_address)?;
        address.parse().map(Self::Tcp).map_err(|_| bad_address())
    }
}

impl Address {
    /// Checks that the operating system takes such an address.
    ///
    /// # Errors
    /// `PathTooLong`.
    pub fn check_length(&self) -> Result<(), BindError> {
        match self {
            Self::Unix(path) if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES => {
                Err(BindError::PathTooLong { path: path.clone(), bytes: path.as_os_str().len() })
            }
            _ => Ok(()),
        }
    }

    /// Returns true if a process listens there now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = BindError;

    fn try_from(text: String) -> Result<Self, BindError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// A bound socket of either kind.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Binds, after removing a socket file that no process listens on any more.
    pub(super) fn bind(address: &Address) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
            _ => BindError::Io { address: address.clone(), source },
        };
        let listener = match address {
            Address::Tcp(tcp) => Self::Tcp(TcpListener::bind(tcp).map_err(failed)?),
            Address::Unix(path) => {
                remove_stale_socket(address, path)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                // Who can write to this socket can feed the state machine blocks.
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
                Self::Unix(listener)
            }
        };
        listener.set_nonblocking().map_err(failed)?;
        Ok(listener)
    }

    /// The address that was bound: of TCP, with the port that was chosen for port 0.
    pub(super) fn address(&self, asked: &Address) -> Address {
        match self {
            Self::Unix(_) => asked.clone(),
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| asked.clone(), Address::Tcp)
            }
        }
    }

    /// The accept loop waits in `poll`, so a connection that is gone by the time of `accept` must
    /// not block it.
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(listener) => listener.set_nonblocking(true),
            Self::Tcp(listener) => listener.set_nonblocking(true),
        }
    }

    /// The next connection, in blocking mode, or `WouldBlock`.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Ok(Stream::Unix(stream))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                // Without it, each synchronous call waits ~41 ms for a delayed acknowledgement.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

fn remove_stale_socket(address: &Address, path: &Path) -> Result<(), BindError> {
    address.check_length()?;
    let failed = |source| BindError::Io { address: address.clone(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()))
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        // A listener whose queue is full, or that is another user's, is a listener.
        _ => Err(BindError::InUse(address.clone())),
    }
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    /// Ends reading, writing or both, on every clone. That the peer was first is no error.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buffer),
            Self::Tcp(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
