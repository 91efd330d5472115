import Primitives
import Testing

@testable import Origin

@Suite struct OriginPolicyTests {
    static let client = address("198.51.100.200:4600")

    static func policy(_ grants: [String]?, reserved: [String] = []) -> OriginPolicy {
        OriginPolicy(
            grants: grants.map { $0.compactMap { AddressPrefix($0) } },
            reserved: reserved.map(address)
        )
    }

    static func refusal(_ claim: String, _ grants: [String]) -> OriginRefusal? {
        let verdict = Self.policy(grants).judge(address(claim), client: Self.client)
        guard case .refused(let refusal) = verdict else {
            #expect(verdict == .claimed(address(claim)))
            return nil
        }
        return refusal
    }

    static let everything = [
        "0.0.0.0/0", "::/0", "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",
        "240.0.0.0/4", "255.255.255.255/32", "::/3", "::/64", "::/128", "::1/128", "fe80::/10",
        "fc00::/7", "ff00::/8", "e000::/3", "10.0.0.0/8", "64:ff9b::/96", "2002::/16",
    ]

    @Test func destinationsPassTheSameFilter() {
        let named = address("198.51.100.1:443")
        #expect(Self.policy(nil).destination(named) == nil)
        let policy = Self.policy(["0.0.0.0/0"], reserved: ["198.51.100.9:0"])
        #expect(policy.destination(nil) == nil)
        #expect(policy.destination(named) == named)
        let others = ["127.0.0.1:22", "10.0.0.1:1", "198.51.100.9:1", "198.51.100.1:0", "[::1]:1"]
        for refused in others {
            #expect(policy.destination(address(refused)) == nil)
        }
        #expect(Self.policy(["203.0.113.0/24"]).destination(named) == nil)
    }

    /// Where the server sees a client passes the filter of claims, whatever is granted.
    @Test(
        arguments: [
            ("127.0.0.1:9", .loopback), ("[::1]:9", .loopback), ("[fe80::1]:9", .linkLocal),
            ("169.254.0.1:9", .linkLocal), ("0.0.0.0:9", .unspecified), ("224.0.0.5:9", .multicast),
            ("255.255.255.255:9", .broadcast), ("198.51.100.9:9", .ownAddress),
            // On a backend's machine, but another port: no backend itself.
            ("198.51.100.8:9", nil), ("10.0.0.1:9", nil), ("203.0.113.1:9", nil),
        ] as [(String, OriginRefusal?)]
    )
    func observedAddressesPassTheFilterOfClaims(seen: String, expected: OriginRefusal?) {
        let reserved = ["198.51.100.9:0", "198.51.100.8:25565"]
        let client = address(seen)
        let own = client.with(port: 0)
        let verdict = expected.map { OriginVerdict.unnamed(own, $0) } ?? .observed(own)
        for grants in [nil, Self.everything] {
            let policy = Self.policy(grants, reserved: reserved)
            #expect(policy.judge(nil, client: client) == verdict)
        }
        #expect(Self.policy(nil, reserved: reserved).judge(own, client: client) == verdict)
    }

    @Test(
        arguments: [
            ("0.0.0.0:1", .unspecified), ("0.1.2.3:1", .unspecified), ("127.0.0.1:1", .loopback),
            ("127.255.255.255:1", .loopback), ("169.254.0.1:1", .linkLocal),
            ("224.0.0.5:1", .multicast), ("239.255.255.255:1", .multicast),
            ("255.255.255.255:1", .broadcast), ("[::]:1", .unspecified), ("[::1]:1", .loopback),
            ("[::127.0.0.1]:1", .unspecified), ("[fe80::1]:1", .linkLocal),
            ("[febf::1]:1", .linkLocal), ("[ff02::1]:1", .multicast),
            ("[::ffff:127.0.0.1]:1", .loopback), ("[::ffff:0.0.0.0]:1", .unspecified),
            ("[::ffff:224.0.0.1]:1", .multicast), ("[::ffff:169.254.1.1]:1", .linkLocal),
            ("[::ffff:255.255.255.255]:1", .broadcast), ("[::ffff:0:7f00:1]:1", .unspecified),
            ("[64:ff9b::127.0.0.1]:1", .loopback), ("[2002:7f00:1::1]:1", .loopback),
            ("8.8.8.8:0", .portZero), ("[2001:db8::1]:0", .portZero),
        ] as [(String, OriginRefusal)]
    )
    func noClientOverridesTheBogonFilter(claim: String, expected: OriginRefusal) {
        #expect(Self.refusal(claim, Self.everything) == expected)
    }

    @Test(arguments: [
        "8.8.8.8:1", "1.0.0.1:65535", "223.255.255.255:1", "126.255.255.255:1", "128.0.0.1:1",
        "[2001:4860:4860::8888]:53", "[64:ff9b::8.8.8.8]:1", "[2002:808:808::1]:1",
        // Documentation and benchmarking networks are what tests are made of.
        "192.0.2.1:1", "198.51.100.1:1", "203.0.113.1:1", "198.18.0.1:1", "[2001:db8::1]:1",
        "[::ffff:8.8.8.8]:1",
    ])
    func allThatIsPublicIsCoveredByTheDefaultRoutes(claim: String) {
        #expect(Self.refusal(claim, ["0.0.0.0/0", "::/0"]) == nil)
        #expect(Self.refusal(claim, []) == .notGranted)
    }

    @Test(arguments: [
        ("10.1.2.3:1", ["10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32"], ["10.2.0.0/16"]),
        ("172.31.0.1:1", ["172.16.0.0/12", "172.31.0.0/16"], ["172.0.0.0/8"]),
        ("192.168.1.1:1", ["192.168.0.0/16", "::ffff:192.168.0.0/112"], ["192.0.0.0/8"]),
        ("100.64.0.1:1", ["100.64.0.0/10"], ["100.0.0.0/8"]),
        ("240.0.0.1:1", ["240.0.0.0/4"], ["128.0.0.0/1"]),
        ("192.0.0.8:1", ["192.0.0.0/24"], ["192.0.0.0/8"]),
        ("[fd00::1]:1", ["fc00::/7", "fd00::/8", "fd00::/64"], ["f000::/4", "fd01::/16"]),
        ("[fec0::1]:1", ["fec0::/10", "e000::/3"], ["c000::/2"]),
        ("[64:ff9b::10.0.0.1]:1", ["64:ff9b::/96"], ["64:ff9b::/32", "10.0.0.0/8"]),
        ("[2002:a00:1::1]:1", ["2002::/16"], ["2000::/3", "10.0.0.0/8"]),
        ("[4000::1]:1", ["4000::/3"], ["4000::/2"]),
    ])
    func privateAddressesNeedAnEntryInsideTheirRange(
        claim: String,
        enough: [String],
        tooWide: [String]
    ) {
        for entry in enough {
            #expect(Self.refusal(claim, [entry]) == nil, "\(entry)")
            #expect(Self.refusal(claim, ["0.0.0.0/0", "::/0", entry]) == nil)
        }
        for entry in tooWide + ["0.0.0.0/0", "::/0"] {
            #expect(Self.refusal(claim, [entry]) == .notPublic, "\(entry)")
        }
    }

    @Test func grantsAreExact() {
        let grants = ["203.0.113.0/25", "2001:db8:1::/48"]
        #expect(Self.refusal("203.0.113.127:9", grants) == nil)
        #expect(Self.refusal("203.0.113.128:9", grants) == .notGranted)
        #expect(Self.refusal("[2001:db8:1:ffff::1]:9", grants) == nil)
        #expect(Self.refusal("[2001:db8:2::1]:9", grants) == .notGranted)
        // One family says nothing about the other.
        #expect(Self.refusal("8.8.8.8:1", ["::/0"]) == .notGranted)
        #expect(Self.refusal("[2001:db8::1]:1", ["0.0.0.0/0"]) == .notGranted)
    }

    @Test func withoutGrantsTheClientItselfIsShown() {
        let verdict = Self.policy(nil).judge(address("8.8.8.8:1"), client: Self.client)
        #expect(verdict == .observed(address("198.51.100.200:0")))
        let silent = Self.policy(["0.0.0.0/0"]).judge(nil, client: Self.client)
        #expect(silent == .observed(address("198.51.100.200:0")))
    }

    @Test func nobodyPosesAsTheServerOrABackend() {
        let policy = Self.policy(
            ["0.0.0.0/0", "::/0", "10.0.0.0/8"],
            reserved: ["203.0.113.5:0", "10.0.0.5:25565", "[2001:db8::5]:0"]
        )
        let judge = { policy.judge(address($0), client: Self.client) }
        #expect(judge("203.0.113.5:1234") == .refused(.ownAddress))
        #expect(judge("[::ffff:203.0.113.5]:1234") == .refused(.ownAddress))
        #expect(judge("[2001:db8::5]:1") == .refused(.ownAddress))
        #expect(judge("10.0.0.5:25565") == .refused(.ownAddress))
        #expect(judge("10.0.0.5:25566") == .claimed(address("10.0.0.5:25566")))
        let other = policy.with(reserved: [])
        #expect(
            other.judge(address("203.0.113.5:1"), client: Self.client)
                == .claimed(address("203.0.113.5:1"))
        )
    }

    @Test func aScopeIsNotPassedOn() {
        var claim = address("[2001:db8::1]:7")
        claim.scope = 3
        let verdict = Self.policy(["::/0"]).judge(claim, client: Self.client)
        #expect(verdict == .claimed(address("[2001:db8::1]:7")))
        claim = address("[2001:db8::5]:7")
        claim.scope = 3
        let own = Self.policy(["::/0"], reserved: ["[2001:db8::5]:0"])
        #expect(own.judge(claim, client: Self.client) == .refused(.ownAddress))
    }

    @Test func nothingTheKernelWouldReplaceIsEverClaimed() {
        var generator = SeededGenerator(seed: 8)
        let policy = Self.policy(Self.everything)
        for _ in 0..<20_000 {
            let claim = generator.address()
            guard case .claimed(let shown) = policy.judge(claim, client: Self.client) else {
                continue
            }
            #expect(shown == claim)
            if claim.isIPv4 {
                let first = claim.ipv4 >> 24
                #expect(first != 0 && first != 127 && !(224..<240).contains(first))
            } else {
                #expect(claim.high != 0 && claim.high >> 54 != 0x3FA && claim.high >> 56 != 0xFF)
            }
        }
    }
}

@Suite struct AddressPrefixTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.1", "192.0.2.1/32"), ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"), ("::1", "::1/128"), ("0.0.0.0/0", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:0:0/96", "0.0.0.0/0"),
    ])
    func reads(text: String, expected: String) {
        #expect(AddressPrefix(text)?.description == expected)
    }

    @Test(arguments: [
        "", "/", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.1/8", "::/129", "2001:db8::1/32",
        "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0/8", "::ffff:10.0.0.0/8",
        "10.0.0.0/ 8", "host/8", "10.0.0.0/0008", "::ffff:0:0/90",
    ])
    func refuses(text: String) {
        #expect(AddressPrefix(text) == nil)
    }

    @Test func containsAgreesWithComparingBits() throws {
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<3000 {
            let base = generator.address()
            let length = Int(generator.below(base.isIPv4 ? 33 : 129))
            let block = try #require(AddressPrefix(base, length: length))
            var other = base
            if generator.chance(2, in: 3) {
                let bit = generator.below(base.isIPv4 ? 32 : 128)
                if bit < 64 { other.low ^= 1 << bit } else { other.high ^= 1 << (bit - 64) }
            }
            let width = length + (base.isIPv4 ? 96 : 0)
            let isSame = Self.bits(base).prefix(width) == Self.bits(other).prefix(width)
            #expect(block.contains(other) == (isSame && other.isIPv4 == base.isIPv4))
            #expect(block.base.port == 0)
        }
        #expect(AddressPrefix(address("10.0.0.1:1"), length: 33) == nil)
        #expect(AddressPrefix(address("10.0.0.1:1"), length: -1) == nil)
    }

    static func bits(_ address: SocketAddress) -> [Bool] {
        (0..<128).map { (place: Int) -> Bool in
            let half = place < 64 ? address.high : address.low
            return half >> UInt64(63 - place % 64) & 1 == 1
        }
    }

    @Test func trustedNetworks() throws {
        let trusted = TrustedNetworks([try prefix("173.245.48.0/20"), try prefix("2400:cb00::/32")])
        #expect(trusted.contains(address("173.245.63.255:1")))
        #expect(trusted.contains(address("[::ffff:173.245.48.1]:1")))
        #expect(trusted.contains(address("[2400:cb00::1]:1")))
        #expect(!trusted.contains(address("173.245.64.0:1")))
        #expect(!trusted.contains(address("[2400:cb01::1]:1")))
        #expect(!TrustedNetworks([]).contains(address("127.0.0.1:1")))
    }
}

@Suite struct PseudoIPv4Tests {
    /// Vectors of the SipHash paper's reference code, for 8 and 16 bytes of input.
    @Test func sipHash() {
        let key = HashKey(first: 0x0706_0504_0302_0100, second: 0x0F0E_0D0C_0B0A_0908)
        var hash = SipHash(key)
        hash.update(0x0706_0504_0302_0100)
        #expect(hash.finish() == 0x93F5_F579_9A93_2462)
        hash.update(0x0F0E_0D0C_0B0A_0908)
        #expect(hash.finish() == 0x3F2A_CC7F_57C2_9BDB)
    }

    @Test func staysInClassEAndIsStablePerNetwork() {
        var generator = SeededGenerator(seed: 10)
        let key = HashKey(first: 5, second: 6)
        var seen: Set<UInt32> = []
        for _ in 0..<5000 {
            let player = SocketAddress(
                high: generator.next() | 1 << 61,
                low: generator.next(),
                port: 77
            )
            let shown = PseudoIPv4.address(for: player, key: key)
            #expect(shown.isIPv4 && shown.ipv4 >> 28 == 15 && shown.ipv4 != .max)
            #expect(shown.port == 77)
            var neighbour = player
            neighbour.low = generator.next()
            #expect(PseudoIPv4.address(for: neighbour, key: key) == shown)
            seen.insert(shown.ipv4)
        }
        // 5,000 of 2^28: 0.05 collisions are expected.
        #expect(seen.count >= 4998)
        let player = address("[2001:db8::1]:9")
        let other = PseudoIPv4.address(for: player, key: HashKey(first: 7, second: 6))
        #expect(other != PseudoIPv4.address(for: player, key: key))
        #expect(PseudoIPv4.address(for: address("8.8.8.8:1"), key: key) == address("8.8.8.8:1"))
    }
}
