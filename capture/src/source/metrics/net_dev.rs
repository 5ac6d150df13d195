//! Interface counters of `/proc/PID/net/dev` (dev_seq_printf_stats, net/core/net-procfs.c, Linux 6.12).

use super::Values;

/// Columns by their place after the interface's name.
const COLUMNS: [(usize, &str); 8] = [
    (0, "rx_bytes"),
    (1, "rx_packets"),
    (2, "rx_errors"),
    (3, "rx_dropped"),
    (8, "tx_bytes"),
    (9, "tx_packets"),
    (10, "tx_errors"),
    (11, "tx_dropped"),
];

/// Adds `PREFIX.eth0.rx_bytes` and so on for every interface.
pub(super) fn parse(text: &str, prefix: &str, values: &mut Values) {
    for line in text.lines().skip(2) {
        // An interface's name may hold a colon (an alias), never a blank.
        let Some((name, counters)) = line.rsplit_once(':') else {
            continue;
        };
        let counters: Vec<Option<u64>> = counters
            .split_ascii_whitespace()
            .map(|field| field.parse().ok())
            .collect();
        for (column, what) in COLUMNS {
            if let Some(Some(value)) = counters.get(column) {
                values.push((format!("{prefix}.{}.{what}", name.trim()), *value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_has_eight_counters() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets\n    lo: 10 11 12 13 0 0 0 0 20 21 22 23 0 0 0 0\n  eth0:1 2 3 4 5 6 7 8 9\nbroken\n";
        let mut values = Values::new();
        parse(text, "net", &mut values);
        let lo: Vec<_> = values
            .iter()
            .filter(|(name, _)| name.starts_with("net.lo."))
            .collect();
        let numbers: Vec<u64> = lo.iter().map(|(_, value)| *value).collect();
        assert_eq!(numbers, [10, 11, 12, 13, 20, 21, 22, 23]);
        assert_eq!(lo.first().map(|(name, _)| name.as_str()), Some("net.lo.rx_bytes"));
        let eth0 = values
            .iter()
            .filter(|(name, _)| name.starts_with("net.eth0."))
            .count();
        assert_eq!(eth0, 5, "columns that are missing are absent");
    }
}
