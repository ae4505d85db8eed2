//! Prometheus takes the files of `deploy/prometheus`: `promtool` checks them where it is in the
//! tool folder. `just alerts` installs it there with the Go client, which takes minutes:
//! Prometheus is large.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidemark_comet::tools::{ensure_installed, tools_folder, PROMTOOL};
use tidemark_tests::net::progress;

/// The tool, which is installed first where that is asked for.
fn promtool() -> Result<PathBuf, String> {
    if std::env::var_os("TIDEMARK_ALERTS").is_some() {
        let installed = ensure_installed(&PROMTOOL, &mut progress);
        return Ok(installed.unwrap_or_else(|why| panic!("{why}")));
    }
    let folder = tools_folder().map_err(|error| error.to_string())?;
    let path = folder.join(format!("promtool-{}/promtool", PROMTOOL.version));
    path.exists().then_some(path).ok_or_else(|| "`just alerts` installs promtool".to_owned())
}

#[test]
fn promtool_accepts_the_alert_rules_and_the_configuration_and_their_tests_pass() {
    let promtool = match promtool() {
        Ok(path) => path,
        Err(why) => return progress(&format!("skipped: {why}")),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for (does, kind, file) in [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts.test.yml"),
    ] {
        let path = folder.join(file);
        let answer = Command::new(&promtool).args([does, kind]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&answer.stdout).into_owned()
            + &String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{file}: {text}");
        assert!(text.contains("SUCCESS"), "{file}: {text}");
    }
}
