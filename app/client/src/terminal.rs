//! Pictures that are drawn over in a terminal.

use std::io::{self, Write as _};

/// Rows and columns where the system does not tell.
const USUAL_SIZE: (usize, usize) = (24, 80);

/// Draws a picture over the one before: each line is cut to the terminal's width, and what passes
/// its height is left out, so that nothing scrolls. `false` when nobody reads any more.
pub fn draw(picture: &str) -> bool {
    let mut stdout = io::stdout().lock();
    let size = rustix::termios::tcgetwinsize(&stdout).ok();
    let size = size.map(|size| (usize::from(size.ws_row), usize::from(size.ws_col)));
    let (rows, columns) =
        size.filter(|(rows, columns)| *rows > 0 && *columns > 0).unwrap_or(USUAL_SIZE);
    let text = frame(picture, rows, columns);
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// Home, each line cleared to its end, then all below cleared: no flicker.
fn frame(picture: &str, rows: usize, columns: usize) -> String {
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    let lines: Vec<_> = picture.lines().take(rows).map(|line| cut(line) + "\x1b[K").collect();
    format!("\x1b[H{}\x1b[J", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_never_passes_the_terminal() {
        let frame = frame("a long line\nb\nc", 2, 6);
        assert_eq!(frame, "\x1b[Ha long\x1b[K\nb\x1b[K\x1b[J");
    }
}
