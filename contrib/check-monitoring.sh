#!/usr/bin/env bash
# Holds alerts and dashboard against the metrics that there are, and the alerts against their tests.
#
# Needs promtool (Debian's prometheus) for the alerts' tests and skips them with a message without.
# Ends with `monitoring: P passed, F failed, S skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
skipped=0

# judge NAME COMMAND…: one test; what the command says is shown if it fails.
judge() {
    local output
    if output=$("${@:2}" 2>&1); then
        echo "ok $1"
        passed=$((passed + 1))
    else
        printf 'failed %s\n%s\n' "$1" "$output"
        failed=$((failed + 1))
    fi
}

# names FILE: every metric that the file asks for is on docs/METRICS.md, which comes from the code.
names() {
    local name lost=0 count=0
    for name in $(grep -oE 'fairlead_[a-z_]+' "$1" | sort -u); do
        count=$((count + 1))
        grep -qF "| \`$name\` |" docs/METRICS.md && continue
        echo "$1 asks for $name, which does not exist"
        lost=1
    done
    [ "$count" -gt 3 ] && [ "$lost" -eq 0 ]
}

# sees: a metric that does not exist is found.
sees() {
    local file
    file=$(mktemp)
    sed 's/fairlead_ready/fairlead_reedy/' contrib/prometheus/alerts.yml >"$file"
    ! names "$file"
    local status=$?
    rm -f "$file"
    return $status
}

judge "the alerts' metrics exist" names contrib/prometheus/alerts.yml
judge "the dashboard's metrics exist" names contrib/grafana/fairlead.json
judge "a metric that does not exist is found" sees
judge "the dashboard is as its script writes it" contrib/grafana/dashboard.py --check
if command -v promtool >/dev/null; then
    judge "promtool reads the alerts" promtool check rules contrib/prometheus/alerts.yml
    judge "each alert fires and rests as its test says" \
        promtool test rules contrib/prometheus/alerts_test.yml
else
    echo "skipped: promtool is not installed (apt-get install prometheus)"
    skipped=2
fi
echo "monitoring: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
