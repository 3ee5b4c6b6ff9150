//! GeoIP data: MMDB, CSV and the embedded tables, as sorted runs of records.
