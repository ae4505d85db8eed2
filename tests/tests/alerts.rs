//! Prometheus takes the files of `deploy/prometheus`: `promtool` checks them. It is installed with
//! the Go client, as CometBFT is, and skipped where that cannot be.

use std::path::Path;
use std::process::Command;

use tidemark_comet::tools::{ensure_installed, PROMTOOL};
use tidemark_tests::net::progress;

#[test]
fn promtool_accepts_the_alert_rules_and_the_configuration() {
    let promtool = match ensure_installed(&PROMTOOL, &mut progress) {
        Ok(path) => path,
        Err(why) => return progress(&format!("skipped: {why}")),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for (kind, file) in [("rules", "alerts.yml"), ("config", "prometheus.yml")] {
        let path = folder.join(file);
        let answer = Command::new(&promtool).args(["check", kind]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&answer.stdout).into_owned()
            + &String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{file}: {text}");
        assert!(text.contains("SUCCESS"), "{file}: {text}");
    }
}
