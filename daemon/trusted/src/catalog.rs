//! Numbers by which the journal explains a fault: `systemd/coldshoe.catalog` has a text for each.

/// The MESSAGE_ID of a fault, by the one word for its reason.
#[must_use]
pub fn message_id(reason: &str) -> &'static str {
    match reason {
        "crash" => "5dc15f79c90c4aed93cdbab54bd274d8",
        "exit" => "cc9642590ff547f39caa715326312d8c",
        "violation" => "0b6976f24a6c4657855fb9c08d291fe8",
        "deadline" => "aa84d7fa051b45659dc1bf7770b9a534",
        "protocol" => "2cc1121377364fc6a11fd803a5c4c489",
        "load" => "f0a686416bff4ba8bf45096634eaf70f",
        "memory" => "da351bc05dd241e1b00f516b2e4184c7",
        "contract" => "e45476e7be3c4f5fbd7f2de0a49346e5",
        _ => "1b6beaaf25564a03add6f8f817925763",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use coldshoe_control::client::FaultReason;

    use super::*;

    const CATALOG: &str = include_str!("../../../systemd/coldshoe.catalog");

    #[test]
    fn each_reason_has_an_id_of_its_own_and_the_catalog_explains_each() {
        let reasons = (0..).map_while(|number| FaultReason::try_from(number).ok());
        let ids: BTreeSet<_> = reasons
            .clone()
            .map(|reason| message_id(reason.word()))
            .collect();
        assert_eq!(ids.len(), reasons.count());
        let explained = CATALOG.lines().filter_map(|line| line.strip_prefix("-- "));
        assert_eq!(explained.collect::<BTreeSet<_>>(), ids);
    }
}
