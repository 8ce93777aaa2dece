//! Tables as the OVSDB tools print them: table, list, html, csv, json.
