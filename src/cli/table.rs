//! Plain tables: columns by spaces, no lines, safe to print.

/// On which side a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A cell: the memory that an image needs, by how it is booted.
#[must_use]
pub fn memory(mib: u64, uefi_mib: u64) -> String {
    format!("{mib} MiB or more; {uefi_mib} MiB by UEFI")
}

/// Rows of cells under headings.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[(&str, Side)]) -> Table {
        Table {
            columns: headings.iter().map(|(_, side)| *side).collect(),
            rows: vec![
                headings
                    .iter()
                    .map(|(name, _)| (*name).to_owned())
                    .collect(),
            ],
        }
    }

    /// A table without headings: names and their values.
    #[must_use]
    pub fn pairs() -> Table {
        Table {
            columns: vec![Side::Left, Side::Left],
            rows: Vec::new(),
        }
    }

    /// Adds a row. Control characters are shown escaped: what an image says of
    /// itself cannot move the cursor.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells = cells.into_iter().map(|cell| visible(cell.as_ref()));
        self.rows.push(cells.collect());
    }

    /// The text, each line indented by `indent` spaces.
    #[must_use]
    pub fn render(&self, indent: usize) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                self.rows
                    .iter()
                    .map(|row| width(row, column))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (column, side) in self.columns.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let room = " ".repeat(widths[column] - width(row, column));
                line.push_str(&match side {
                    Side::Left => format!("{cell}{room}  "),
                    Side::Right => format!("{room}{cell}  "),
                });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(row: &[String], column: usize) -> usize {
    row.get(column).map_or(0, |cell| cell.chars().count())
}

/// `text` with its control characters escaped.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let mut table = Table::new(&[("name", Side::Left), ("size", Side::Right)]);
        table.row(["a", "100"]);
        table.row(["longer", "1"]);
        assert_eq!(
            table.render(2),
            "  name    size\n  a        100\n  longer     1\n"
        );
    }

    #[test]
    fn control_characters_are_shown() {
        let mut table = Table::pairs();
        table.row(["a\x1b[2J", "b\nc"]);
        assert_eq!(table.render(0), "a\\u{1b}[2J  b\\nc\n");
    }
}
