//! Text tables as the shells print them: columns as wide as their widest cell, padded by display
//! width, with a rule under the header.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    /// Anything else: only ASCII is sure to arrive.
    Ascii,
}

impl Charset {
    /// The character set that a locale's name asks for (`C.UTF-8`, `de_DE.utf8`).
    pub fn of_locale(name: &str) -> Self {
        let codeset = name.split_once('.').map_or("", |(_, codeset)| codeset);
        let codeset = codeset.split('@').next().unwrap_or_default();
        match codeset.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            _ => Self::Ascii,
        }
    }
}

/// A table that is filled row by row and printed at once.
///
/// ```
/// use virt_cli::{Charset, Grid};
/// let mut grid = Grid::new(Charset::Utf8, &["Id", "Name"]);
/// grid.row(["1", "test"]);
/// assert_eq!(grid.text(true), " Id   Name\n------------\n 1    test\n");
/// ```
#[derive(Debug)]
pub struct Grid {
    charset: Charset,
    columns: usize,
    /// The header and then the rows, cell by cell.
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    width: usize,
}

impl Grid {
    pub fn new(charset: Charset, header: &[&str]) -> Self {
        let mut grid = Self { charset, columns: header.len(), cells: Vec::new() };
        grid.row(header);
        grid
    }

    /// Adds a row, which has a cell for every column.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let charset = self.charset;
        self.cells.extend(cells.into_iter().map(|cell| shown(cell.as_ref(), charset)));
        assert!(self.cells.len().is_multiple_of(self.columns), "a row has a cell for every column");
    }

    /// The whole table. Without the header, columns are only as wide as the rows need.
    pub fn text(&self, header: bool) -> String {
        let mut rows = self.cells.chunks(self.columns);
        let title = rows.next().filter(|_| header);
        let widths: Vec<usize> = (0..self.columns)
            .map(|column| {
                let below = rows.clone().map(|row| row[column].width).max().unwrap_or(0);
                below.max(title.map_or(0, |title| title[column].width))
            })
            .collect();
        let mut out = String::new();
        if let Some(title) = title {
            write_row(&mut out, title, &widths);
            let rule: usize = widths.iter().map(|width| width + GAP).sum();
            out.extend(std::iter::repeat_n('-', rule));
            out.push('\n');
        }
        for row in rows {
            write_row(&mut out, row, &widths);
        }
        out
    }
}

/// Blanks between two columns.
const GAP: usize = 3;

fn write_row(out: &mut String, row: &[Cell], widths: &[usize]) {
    out.push(' ');
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        out.push_str(&cell.text);
        if at + 1 < row.len() {
            out.extend(std::iter::repeat_n(' ', width - cell.width + GAP));
        }
    }
    out.push('\n');
}

/// A cell's text with nothing in it that would break the table.
fn shown(text: &str, charset: Charset) -> Cell {
    let mut cell = Cell { text: String::with_capacity(text.len()), width: 0 };
    for c in text.chars() {
        match (charset, c.width()) {
            (Charset::Utf8, Some(width)) if !c.is_control() => {
                cell.text.push(c);
                cell.width += width;
            }
            (_, Some(_)) if c.is_ascii() && !c.is_control() => {
                cell.text.push(c);
                cell.width += 1;
            }
            // Compat: outside ASCII in an ASCII locale, each byte is printed as \xff.
            (Charset::Ascii, _) if !c.is_ascii() => {
                for _ in 0..c.len_utf8() {
                    cell.text.push_str("\\xff");
                    cell.width += 4;
                }
            }
            _ => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(cell.text, "\\x{byte:02x}");
                    cell.width += 4;
                }
            }
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::{Charset, Grid};

    #[test]
    fn columns_fit_header_and_rows() {
        let mut grid = Grid::new(Charset::Utf8, &["Id", "Name", "State", "Title"]);
        assert_eq!(grid.text(true), " Id   Name   State   Title\n----------------------------\n");
        grid.row(["1", "test", "running", ""]);
        assert_eq!(
            grid.text(true),
            " Id   Name   State     Title\n------------------------------\n 1    test   running   \n"
        );
        assert_eq!(grid.text(false), " 1   test   running   \n");
    }

    #[test]
    fn wide_and_unprintable_characters() {
        let mut grid = Grid::new(Charset::Utf8, &["Name", "X"]);
        grid.row(["domäne-中文", "a\tb"]);
        assert_eq!(
            grid.text(true),
            " Name          X\n-----------------------\n domäne-中文   a\\x09b\n"
        );
        let mut grid = Grid::new(Charset::Ascii, &["Name"]);
        grid.row(["aä"]);
        assert_eq!(grid.text(false), " a\\xff\\xff\n");
    }

    #[test]
    fn the_locale_names_the_character_set() {
        for (name, want) in [
            ("C", Charset::Ascii),
            ("", Charset::Ascii),
            ("C.UTF-8", Charset::Utf8),
            ("de_DE.utf8@euro", Charset::Utf8),
            ("de_DE.ISO-8859-1", Charset::Ascii),
        ] {
            assert_eq!(Charset::of_locale(name), want, "{name}");
        }
    }
}
