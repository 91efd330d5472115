import Primitives
import Testing

@testable import Session

/// What a server does to a client by a hello that allows only small packets.
@Suite struct SmallPacketTests {
    /// Fragments share their packets with the OPEN until it is acknowledged.
    ///
    /// With a long context they have less room than a 255th of the largest datagram.
    @Test(arguments: [512, 0], [0, 64, 100, 128])
    func aLargeDatagramBehindALongOpenIsDropped(_ size: Int, _ contextLength: Int) throws {
        let wire = Wire(serverPacketSize: size)
        wire.run(.seconds(1))
        var request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let id = [UInt8](repeating: 1, count: contextLength)
        request.context = OpenContext(uniqueID: id, authority: [])
        let flow = try #require(wire.client.openFlow(request, at: wire.now))
        [UInt8](repeating: 7, count: 65_507).withUnsafeBytes {
            wire.client.send($0, on: flow, at: wire.now)
        }
        wire.run(.milliseconds(200))
        let drops = wire.client.snapshot(at: wire.now).counters.drops[.datagramTooLarge]
        #expect(drops == (contextLength == 0 ? 0 : 1))
    }
}
