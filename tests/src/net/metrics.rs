//! A node's metrics page, read as Prometheus would read it.

use prometheus_parse::{Sample, Scrape, Value};

/// A metrics page.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// As it was served.
    pub text: String,
}

impl Metrics {
    pub(super) async fn read(port: u16) -> Result<Self, String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let cannot = |e: std::io::Error| format!("cannot read metrics at port {port}: {e}");
        let mut stream =
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map_err(cannot)?;
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.map_err(cannot)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(cannot)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("metrics at port {port}: {head}"));
        }
        Ok(Self { text: body.to_owned() })
    }

    /// The sum of a metric's samples that have every one of `labels`; `None` when there is no such
    /// sample.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let scrape = Scrape::parse(self.text.lines().map(|line| Ok(line.to_owned()))).ok()?;
        let value = |sample: &Sample| {
            let matches = sample.metric == name
                && labels.iter().all(|(label, value)| sample.labels.get(label) == Some(*value));
            match sample.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) if matches => {
                    Some(value)
                }
                _ => None,
            }
        };
        scrape.samples.iter().filter_map(value).reduce(|sum, value| sum + value)
    }
}
