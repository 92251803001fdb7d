"""The words on the wire: versioned objects with strict fields; no database, no behaviour."""
