import Netem
import Primitives
import Sealing
import Session

/// What must hold at the end, and all the time.
extension World {
    /// Everything that was to happen has happened, and nothing is left of it.
    var isOver: Bool {
        guard self.disturbances.isEmpty, self.flowClosings.isEmpty else { return false }
        guard self.flowPhases.allSatisfy({ $0.isOver }) else { return false }
        guard self.records.allSatisfy({ $0.isStarted && $0.isSettled }) else { return false }
        guard self.servers.allSatisfy({ $0.flows.allSatisfy { $0 == nil } }) else { return false }
        return (self.clients + self.servers).allSatisfy { site in
            let snapshot = site.engine.snapshot(at: self.now)
            return snapshot.streams == 0 && snapshot.flows == 0
        }
    }

    /// Memory stays within what the limits promise, whatever the weather.
    func takeCensus() {
        for site in self.clients + self.servers {
            let snapshot = site.engine.snapshot(at: self.now)
            // Per stream two buffers with their rings; per flow a queue of a mebibyte.
            let bound = snapshot.streams * 2 * 320 * 1024 + snapshot.flows * 1_280 * 1024
            if snapshot.bufferedByteCount > bound {
                self.violate("\(snapshot.bufferedByteCount) bytes are held, \(bound) are allowed")
            }
            self.checkPostQuantum(snapshot, at: site)
            // What every stream and flow may have anyway, and the logs of a session, comes to that.
            let least =
                snapshot.streams * 12_288 + snapshot.flows * 4096
                + snapshot.heldByteCounts.count << 20
            let most = self.limits.smallHeldByteLimit + least
            if let held = snapshot.heldByteCounts.max(), held > most {
                self.violate("peers make a session hold \(held) bytes, \(most) are allowed")
            }
            for count in snapshot.unaccountedByteCounts where count != 0 {
                self.violate("a session was charged \(count) bytes too few")
            }
        }
    }

    /// A session that an end insists on strengthening is never up without it, and one that an end
    /// does not strengthen never has it.
    private func checkPostQuantum(_ snapshot: EngineSnapshot, at site: Site) {
        for session in snapshot.sessions {
            let name = session.peer.split(separator: "-").last.flatMap { Int($0) }
            let client = site.side == .client ? site.number : name ?? 0
            let expected = self.scenario.postQuantum(of: client)
            if session.isPostQuantum ? expected == .off : expected == .require {
                self.violate("a session of client \(client) is not \(expected), \(site.side)")
            }
        }
    }

    func reportStandstill(next: Instant, isBusy: Bool) {
        if isBusy {
            self.violate("still busy after \(self.statistics.steps) steps at \(next)")
            for site in self.clients + self.servers where site.deadline <= self.now {
                self.violations.append(
                    "\(site.side) \(site.number): engine due \(site.engine.deadline), "
                        + "applications \(site.deadline)"
                )
            }
            return
        }
        for (plan, record) in zip(self.scenario.streams, self.records) where !record.isSettled {
            var text = "stream \(plan.number) is not over: \(record)"
            for site in self.clients + self.servers {
                for case let end? in site.streams where end.plan.number == plan.number {
                    text += "; \(end.side) sent \(end.sent) got \(end.received)"
                    text += " finished \(end.hasFinished) saw end \(end.sawEnd)"
                }
            }
            self.violate(text)
        }
        for site in self.clients + self.servers {
            let snapshot = site.engine.snapshot(at: self.now)
            if snapshot.streams > 0 || snapshot.flows > 0 {
                self.violate(
                    "\(site.side) \(site.number) holds \(snapshot.streams) streams and "
                        + "\(snapshot.flows) flows when all should be over"
                )
            }
        }
    }

    func conclude() {
        for link in self.uplinks + self.downlinks {
            self.statistics.packetsLost += link.counters.lost
            self.digest.add(link.counters.bytesDelivered)
        }
        guard self.violations.isEmpty else { return }
        for (plan, record) in zip(self.scenario.streams, self.records) {
            if !self.isPermitted(record, plan) {
                self.violate("stream \(plan.number) ended wrongly: \(record), plan \(plan)")
            }
        }
    }

    private func isPermitted(_ record: StreamRecord, _ plan: StreamPlan) -> Bool {
        if let restart = self.scenario.lastRestart(of: plan.client),
            plan.start < restart + Scenario.restartShadow
        {
            // It may have been lost to the restart; that it ended at all has been checked.
            return true
        }
        let client = record.fates[0]
        let server = record.fates[1]
        // Runs of loss end with packets, not with time: on a quiet path one can outlast a handshake
        // and the session that a restart has orphaned.
        if self.losesHandshakes(plan.client),
            client == .reset(.connectTimeout) || client == .reset(.sessionLost)
        {
            return true
        }
        if plan.service != Self.streamService {
            let reason: ResetReason =
                plan.service == Self.forbiddenService ? .serviceForbidden : .serviceUnknown
            return server == nil
                && (client == .reset(reason) || client == .resetByApplication)
        }
        if plan.reset == nil, !plan.isStalled {
            return client == .closed && server == .closed && record.complete == [true, true]
        }
        if plan.reset == nil, client == .closed || server == .closed {
            // A stalled reader's peer may have had all it needed.
            return true
        }
        let reason = plan.reset?.reason ?? .aborted
        return (client == .resetByApplication || client == .reset(reason))
            && [nil, .resetByApplication, .reset(.aborted)].contains(server)
    }

    /// Whether losses come in runs of packets: where a handshake sends a packet a second, one run
    /// can outlast every attempt.
    private func losesHandshakes(_ client: Int) -> Bool {
        let plan = self.scenario.clients[client]
        return plan.up.impairment.gilbertElliott != nil
            || plan.down.impairment.gilbertElliott != nil
    }
}
