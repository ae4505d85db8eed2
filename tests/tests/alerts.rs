//! Prometheus takes the files of `deploy/prometheus`: `promtool` checks them where `promtool` is
//! installed (Debian's package `prometheus` has it).

use std::path::Path;
use std::process::Command;

#[test]
fn promtool_accepts_the_alert_rules_and_the_configuration() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: promtool is not installed");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for (kind, file) in [("rules", "alerts.yml"), ("config", "prometheus.yml")] {
        let path = folder.join(file);
        let answer = Command::new("promtool").args(["check", kind]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&answer.stdout).into_owned()
            + &String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{file}: {text}");
        assert!(text.contains("SUCCESS"), "{file}: {text}");
    }
}
