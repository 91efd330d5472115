# The classical KCP protocol against ikcp.c (PyPI `kcp`) and kcp-go (Debian), both directions at
# once, every byte checked, through a link of ours that loses and reorders.

kcp_case() { # NAME PEER-COMMAND OPTION...
    local name=$1 peer=$2 verdict
    shift 2
    if verdict=$("$python" "$here/kcp_pair.py" "$kcp_peer" "$peer" "$@" 2>&1); then
        pass "$name"
    else
        fail "$name" "$verdict"
    fi
}

kcp_cases() { # NAME PEER-COMMAND
    kcp_case "$1 clean" "$2" bytes=2000000
    kcp_case "$1 clean, congestion control" "$2" nc=0 bytes=300000
    kcp_case "$1 small window and datagrams" "$2" window=128 mtu=576 bytes=500000
    kcp_case "$1 5 % loss, reordering" "$2" ours.loss=5 ours.jitter=20 bytes=1000000
    kcp_case "$1 20 % loss, no fast resend" "$2" ours.loss=20 resend=0 bytes=300000
    kcp_case "$1 10 % loss, messages" "$2" stream=0 theirs.stream=0 ours.loss=10 ours.jitter=8 \
        bytes=500000 "${@:3}"
}

kcp_ikcp() {
    need_apt python3 && need_pip kcp \
        || { skip "kcp: ikcp.c" "PyPI package kcp is not to be had"; return; }
    kcp_cases "kcp: ikcp.c" "$python $here/kcp_peer.py" boundaries=1
}

kcp_go() {
    need_apt golang-go golang-github-xtaci-kcp-dev \
        || { skip "kcp: kcp-go" "golang-github-xtaci-kcp-dev is not to be had"; return; }
    GOPATH=/usr/share/gocode GO111MODULE=off go build -o "$scratch/kcpgo_peer" \
        "$here/kcpgo_peer.go" 2>"$scratch/go.log" \
        || { fail "kcp: kcp-go" "$(tail -1 "$scratch/go.log")"; return; }
    kcp_cases "kcp: kcp-go" "$scratch/kcpgo_peer"
}

if kcp_peer=$(build testkit); then
    kcp_ikcp
    kcp_go
else
    fail "kcp" "testkit does not build"
fi
