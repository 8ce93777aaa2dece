//! Tables as the OVSDB tools print them: aligned columns, lists, HTML, CSV, JSON.
//!
//! A [`Table`] is what to print, a [`Style`] how; the options that choose a style are [`OPTIONS`]. Tables printed one after
//! another are separated by the [`Printer`]. Widths count bytes, as the reference's do.

use jsonrpc::{Json, Object, json};
use observe::options::{Opt, Parsed};
use ovsdb::{ColumnType, Datum, Uuid};
use std::fmt::Write;
use std::time::Duration;

/// The form of the whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// One line per cell, a blank line between rows.
    List,
    /// An HTML `<table>`.
    Html,
    /// RFC 4180.
    Csv,
    /// An object with `headings` and `data`.
    Json,
}

/// The form of a cell that holds a database value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellFormat {
    /// As `ovs-vsctl` prints values.
    String,
    /// Without punctuation.
    Bare,
    /// As RFC 7047 has values.
    Json,
}

/// The options that choose a style.
pub const OPTIONS: &[Opt] = &[
    Opt::value("format").short('f'),
    Opt::value("data").short('d'),
    Opt::flag("no-headings"),
    Opt::flag("pretty"),
    Opt::flag("bare"),
    Opt::value("max-column-width"),
];

/// How to print tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The form of the whole.
    pub format: Format,
    /// The form of cells.
    pub cells: CellFormat,
    /// Whether there is a heading row.
    pub headings: bool,
    /// Whether JSON tables have line breaks and indentation.
    pub pretty: bool,
    /// For [`Format::Table`]: the widest that a column may be; 0 for no limit.
    pub max_column_width: usize,
}

impl Style {
    /// The style of a program that was given no options.
    pub fn new(format: Format) -> Style {
        Style {
            format,
            cells: CellFormat::String,
            headings: true,
            pretty: false,
            max_column_width: 0,
        }
    }

    /// Takes an option of [`OPTIONS`]; says whether it was one.
    pub fn take(&mut self, option: &Parsed) -> Result<bool, String> {
        match option.name {
            "format" => self.format = parse_format(option.arg())?,
            "data" => self.cells = parse_cell_format(option.arg())?,
            "no-headings" => self.headings = false,
            "pretty" => self.pretty = true,
            "bare" => {
                (self.format, self.cells, self.headings) = (Format::List, CellFormat::Bare, false);
            }
            "max-column-width" => self.max_column_width = option.arg().parse().unwrap_or(0),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A cell that shows a database value.
    pub fn datum(&self, datum: &Datum, ty: &ColumnType) -> Cell {
        match (self.format, self.cells) {
            (Format::Json, _) | (_, CellFormat::Json) => Cell::Json(datum.to_json(ty)),
            (_, CellFormat::String) => Cell::Text(datum.to_text(ty)),
            (_, CellFormat::Bare) => Cell::Text(datum.to_bare()),
        }
    }

    /// A JSON value as this style prints it, without a newline at the end.
    pub fn json(&self, json: &Json) -> String {
        if self.pretty { json.to_pretty() } else { json.to_string() }
    }
}

/// What `-f` takes.
pub fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "table" => Ok(Format::Table),
        "list" => Ok(Format::List),
        "html" => Ok(Format::Html),
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        _ => Err(format!("unknown output format \"{text}\"")),
    }
}

/// What `-d` takes.
pub fn parse_cell_format(text: &str) -> Result<CellFormat, String> {
    match text {
        "string" => Ok(CellFormat::String),
        "bare" => Ok(CellFormat::Bare),
        "json" => Ok(CellFormat::Json),
        _ => Err(format!("unknown data format \"{text}\"")),
    }
}

/// One field of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// Nothing; `null` in JSON.
    #[default]
    Empty,
    /// Text for people; a string in JSON.
    Text(String),
    /// A JSON value.
    Json(Json),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Json(json) => json.to_string(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Cell::Empty => Json::Null,
            Cell::Text(text) => text.into(),
            Cell::Json(json) => json.clone(),
        }
    }
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What stands above it.
    pub caption: Option<String>,
    /// When it was true (time since 1970), if that is to be shown.
    pub time: Option<Duration>,
    /// The columns' names.
    pub headings: Vec<String>,
    /// The rows; what a row lacks is empty.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(headings: impl IntoIterator<Item = impl Into<String>>) -> Table {
        Table { headings: headings.into_iter().map(Into::into).collect(), ..Table::default() }
    }

    /// The cells' text, row by row, each row as wide as the headings.
    fn texts(&self) -> Vec<Vec<String>> {
        let text = |row: &Vec<Cell>, i| row.get(i).map(Cell::text).unwrap_or_default();
        self.rows
            .iter()
            .map(|row| (0..self.headings.len()).map(|i| text(row, i)).collect())
            .collect()
    }

    fn timestamp(&self) -> Option<String> {
        let mut text = String::new();
        observe::vlog::pattern::date("%Y-%m-%d %H:%M:%S.###", true, self.time?, &mut text);
        Some(text)
    }
}

/// Prints tables in one style, with what belongs between them.
pub struct Printer {
    style: Style,
    printed: bool,
}

impl Printer {
    /// A printer that has printed nothing.
    pub fn new(style: Style) -> Printer {
        Printer { style, printed: false }
    }

    /// The style.
    pub fn style(&self) -> &Style {
        &self.style
    }

    /// Appends a table.
    pub fn print(&mut self, table: &Table, out: &mut String) {
        let between = matches!(self.style.format, Format::Table | Format::List | Format::Csv);
        if between && self.printed {
            out.push('\n');
        }
        self.printed = true;
        match self.style.format {
            Format::Json => self.json(table, out),
            Format::Html => self.html(table, out),
            Format::Table | Format::List | Format::Csv => {
                for line in table.caption.iter().cloned().chain(table.timestamp()) {
                    out.push_str(&line);
                    out.push('\n');
                }
                match self.style.format {
                    Format::Csv => self.csv(table, out),
                    Format::List => self.list(table, out),
                    _ => self.aligned(table, out),
                }
            }
        }
    }

    fn aligned(&self, table: &Table, out: &mut String) {
        let texts = table.texts();
        let widest =
            |i| texts.iter().filter_map(|row| row.get(i)).map(String::len).max().unwrap_or(0);
        let limit = |width| {
            if self.style.max_column_width > 0 {
                self.style.max_column_width.min(width)
            } else {
                width
            }
        };
        let least = |heading: &String| if self.style.headings { heading.len() } else { 0 };
        let widths: Vec<usize> = table
            .headings
            .iter()
            .enumerate()
            .map(|(i, heading)| least(heading).max(limit(widest(i))))
            .collect();
        if self.style.headings {
            align(&table.headings, &widths, out);
            let rules: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
            align(&rules, &widths, out);
        }
        for row in &texts {
            align(row, &widths, out);
        }
    }

    fn list(&self, table: &Table, out: &mut String) {
        for (i, row) in table.texts().iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            for (heading, text) in table.headings.iter().zip(row) {
                if self.style.headings {
                    put(out, format_args!("{heading:<20}: "));
                }
                put(out, format_args!("{text}\n"));
            }
        }
    }

    fn csv(&self, table: &Table, out: &mut String) {
        if self.style.headings {
            csv_line(&table.headings, out);
        }
        for row in &table.texts() {
            csv_line(row, out);
        }
    }

    fn html(&self, table: &Table, out: &mut String) {
        if let Some(time) = table.timestamp() {
            put(out, format_args!("{}\n", html_text(&time)));
        }
        out.push_str("<table border=1>\n");
        if let Some(caption) = &table.caption {
            put(out, format_args!("    <caption>{}</caption>\n", html_text(caption)));
        }
        if self.style.headings {
            html_row("th", table.headings.iter().map(|heading| html_text(heading)), out);
        }
        for row in &table.texts() {
            let cells =
                table.headings.iter().zip(row).map(|(heading, text)| match heading.as_str() {
                    // The row's own identity is what the others' links lead to.
                    "_uuid" => html_anchor(text),
                    _ => html_linked(text),
                });
            html_row("td", cells, out);
        }
        out.push_str("</table>\n");
    }

    fn json(&self, table: &Table, out: &mut String) {
        let row = |row: &Vec<Cell>| -> Json {
            (0..table.headings.len()).map(|i| row.get(i).map_or(Json::Null, Cell::json)).collect()
        };
        let mut members = vec![
            ("headings".into(), json!(table.headings.clone())),
            ("data".into(), table.rows.iter().map(row).collect()),
        ];
        members.extend(table.caption.iter().map(|caption| ("caption".into(), caption.into())));
        members.extend(table.timestamp().map(|time| ("time".into(), time.into())));
        out.push_str(&self.style.json(&Json::Object(Object::from_members(members))));
        out.push('\n');
    }
}

/// Writing to a `String` cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A line of cells, each padded or cut to its column's width; no blanks at the end.
fn align(cells: &[String], widths: &[usize], out: &mut String) {
    let start = out.len();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        // Never inside a character, even if the column is then a little narrower.
        let cut =
            (0..=cell.len().min(*width)).rev().find(|at| cell.is_char_boundary(*at)).unwrap_or(0);
        out.push_str(cell.get(..cut).unwrap_or_default());
        out.extend(std::iter::repeat_n(' ', width - cut));
    }
    let end = out.get(start..).map_or(start, |line| start + line.trim_end_matches(' ').len());
    out.truncate(end);
    out.push('\n');
}

fn csv_line(cells: &[String], out: &mut String) {
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            put(out, format_args!("\"{}\"", cell.replace('"', "\"\"")));
        } else {
            out.push_str(cell);
        }
    }
    out.push('\n');
}

fn html_row(tag: &str, cells: impl Iterator<Item = String>, out: &mut String) {
    out.push_str("  <tr>\n");
    for cell in cells {
        put(out, format_args!("    <{tag}>{cell}</{tag}>\n"));
    }
    out.push_str("  </tr>\n");
}

fn html_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| html_char(c, &mut out));
    out
}

fn html_char(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        c => out.push(c),
    }
}

/// The text, shortened to eight characters, as the target of links.
fn html_anchor(text: &str) -> String {
    let short: String = text.chars().take(8).collect();
    format!("<a name=\"{}\">{}</a>", html_text(text), html_text(&short))
}

/// The text with every UUID in it, shortened to eight digits, a link to that row.
fn html_linked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((_, after)) = Uuid::parse_prefix(rest) {
            let uuid = rest.get(..36).unwrap_or_default(); // as it was written
            let short = uuid.get(..8).unwrap_or_default();
            put(&mut out, format_args!("<a href=\"#{uuid}\">{short}</a>"));
            rest = after;
        } else {
            html_char(c, &mut out);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new(["name", "tag", "_uuid"]);
        let uuid = "d33a330f-96c7-400c-888d-7b4b44af511c";
        table.rows.push(vec!["p1".into(), Cell::Json(json!(5)), uuid.into()]);
        table.rows.push(vec!["a,\"b\"".into(), Cell::Empty]);
        table
    }

    fn show(style: Style, tables: &[Table]) -> String {
        let mut printer = Printer::new(style);
        let mut out = String::new();
        tables.iter().for_each(|table| printer.print(table, &mut out));
        out
    }

    #[test]
    fn aligned() {
        let want = "name  tag _uuid\n----- --- ------------------------------------\n\
            p1    5   d33a330f-96c7-400c-888d-7b4b44af511c\na,\"b\"\n";
        assert_eq!(show(Style::new(Format::Table), &[example()]), want);
        let narrow = Style { max_column_width: 6, ..Style::new(Format::Table) };
        assert_eq!(
            show(narrow, &[example()]),
            "name  tag _uuid\n----- --- ------\np1    5   d33a33\na,\"b\"\n"
        );
        let plain = Style { headings: false, ..Style::new(Format::Table) };
        let mut empty = Table::new(["a"]);
        empty.caption = Some("Cap".to_owned());
        assert_eq!(show(plain, &[empty.clone(), empty]), "Cap\n\nCap\n");
    }

    #[test]
    fn listed() {
        let want = "name                : p1\ntag                 : 5\n\
            _uuid               : d33a330f-96c7-400c-888d-7b4b44af511c\n\n\
            name                : a,\"b\"\ntag                 : \n_uuid               : \n";
        assert_eq!(show(Style::new(Format::List), &[example()]), want);
        let bare = Style { headings: false, ..Style::new(Format::List) };
        assert!(show(bare, &[example()]).starts_with("p1\n5\nd33a"));
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        let want = "name,tag,_uuid\np1,5,d33a330f-96c7-400c-888d-7b4b44af511c\n\"a,\"\"b\"\"\",,\n";
        assert_eq!(show(Style::new(Format::Csv), &[example()]), want);
    }

    #[test]
    fn html_links_rows() {
        let mut table = example();
        table.headings.push("ref".to_owned());
        table.rows.truncate(1);
        table.rows[0].push("[d33a330f-96c7-400c-888d-7b4b44af511c, <é>]".into());
        table.caption = Some("T & U".to_owned());
        let want = "<table border=1>\n    <caption>T &amp; U</caption>\n  <tr>\n    <th>name</th>\n    <th>tag</th>\n    \
            <th>_uuid</th>\n    <th>ref</th>\n  </tr>\n  <tr>\n    <td>p1</td>\n    <td>5</td>\n    \
            <td><a name=\"d33a330f-96c7-400c-888d-7b4b44af511c\">d33a330f</a></td>\n    \
            <td>[<a href=\"#d33a330f-96c7-400c-888d-7b4b44af511c\">d33a330f</a>, &lt;é&gt;]</td>\n  </tr>\n</table>\n";
        assert_eq!(show(Style::new(Format::Html), &[table]), want);
    }

    #[test]
    fn json_has_captions_and_times() {
        let mut table = example();
        table.caption = Some("Port".to_owned());
        table.time = Some(Duration::from_millis(1_767_225_600_042));
        let want = "{\"caption\":\"Port\",\"data\":[[\"p1\",5,\"d33a330f-96c7-400c-888d-7b4b44af511c\"],[\"a,\\\"b\\\"\",null,null]],\
            \"headings\":[\"name\",\"tag\",\"_uuid\"],\"time\":\"2026-01-01 00:00:00.042\"}\n";
        assert_eq!(show(Style::new(Format::Json), &[table]), want);
    }

    #[test]
    fn options_choose_the_style() {
        let mut style = Style::new(Format::Table);
        let option = |name, value: &str| Parsed { name, value: Some(value.to_owned()) };
        assert_eq!(
            style.take(&option("format", "tabl")).unwrap_err(),
            "unknown output format \"tabl\""
        );
        assert_eq!(style.take(&option("data", "xx")).unwrap_err(), "unknown data format \"xx\"");
        assert!(style.take(&option("max-column-width", "x")).unwrap());
        assert!(style.take(&option("bare", "")).unwrap());
        assert!(!style.take(&option("timeout", "")).unwrap());
        assert_eq!(
            (style.format, style.cells, style.headings),
            (Format::List, CellFormat::Bare, false)
        );
    }
}
