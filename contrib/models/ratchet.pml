/*
 * The keys of a handshake are strengthened before they carry anything (PROTOCOL.md, section 5).
 *
 * A RESP gives the client a secret, which it strengthens by an OFFER and the server's ANSWER, both
 * sealed under the keys of now. The client takes the new keys with the ANSWER; the server keeps
 * them as next until something opens under them. A handshake may begin while the one before is
 * being strengthened. Packets are lost, repeated, reordered and late.
 *
 * Keys are numbered by handshake; those of a handshake that nobody has strengthened are CLASSICAL
 * more. Claims:
 *   - what the client seals, the server can open, whichever handshakes are under way;
 *   - the server never seals under keys that the client cannot have;
 *   - nothing is sealed under keys that are not strengthened, once a session has such keys.
 *
 * FAULT 1: a new handshake takes away the keys that the server keeps as next.
 * FAULT 2: the client takes the answer to an offer that it has given up.
 * FAULT 3: the client seals under the keys of a RESP until they are strengthened.
 */
#ifndef FAULT
#define FAULT 0
#endif

#define HANDSHAKES 3
#define CLASSICAL 16
#define none 15

mtype = { INIT, RESP, OFFER, ANSWER, DATA };
/* What, the handshake it is about, and the keys it is sealed under. */
chan to_server = [2] of { mtype, byte, byte };
chan to_client = [2] of { mtype, byte, byte };

/* The session begins with keys that are strengthened: those of handshake 0. */
byte client_current = 0, client_previous = none, started = 0, awaited = none, offered = none;
byte server_current = 0, server_previous = none, server_next = none;
byte seen = 0, wanted = none, answered = none;

#define sealing assert(client_current < CLASSICAL); \
    assert(client_current == server_current || client_current == server_next || \
        client_current == server_previous)

active proctype client() {
    byte k, x;
    do
    /* When keys are old, or the server owes a word for too long: even amid an exchange. */
    :: atomic { awaited == none && started < HANDSHAKES && nfull(to_server) ->
       started++; awaited = started; to_server ! INIT, started, none }
    :: atomic { awaited != none && nfull(to_server) -> to_server ! INIT, awaited, none }
    :: atomic { offered != none && nfull(to_server) ->
       sealing; to_server ! OFFER, offered, client_current }
    :: atomic { nfull(to_server) -> sealing; to_server ! DATA, 0, client_current }
    :: atomic { to_client ?? RESP, k, x ->
       if
       :: true -> skip
       :: k == awaited ->
          awaited = none; offered = k;
          if
          :: FAULT == 3 -> client_previous = client_current; client_current = k + CLASSICAL
          :: else
          fi
       :: else
       fi; k = 0; x = 0 }
    :: atomic { to_client ?? ANSWER, k, x ->
       if
       :: true -> skip
       :: (k == offered || (FAULT == 2 && k > client_current)) &&
          (x == client_current || x == client_previous) ->
          client_previous = client_current; client_current = k;
          if
          :: k == offered -> offered = none
          :: else
          fi
       :: else
       fi; k = 0; x = 0 }
    :: atomic { to_client ?? DATA, k, x -> k = 0; x = 0 }
    od
}

/* What opens under the next keys confirms them. */
#define opens(x) (x == server_current || x == server_previous || (x == server_next && x != none))
inline confirm(x) {
    if
    :: x == server_next ->
       server_previous = server_current; server_current = x; server_next = none
    :: else
    fi
}

active proctype server() {
    byte k, x;
    do
    :: atomic { to_server ?? INIT, k, x ->
       if
       :: true -> skip
       :: k > seen ->
          seen = k; wanted = k;
          if
          :: FAULT == 1 -> server_next = none
          :: else
          fi
       :: else
       fi;
       if
       :: k == seen && nfull(to_client) -> to_client ! RESP, k, none
       :: else
       fi; k = 0; x = 0 }
    :: atomic { to_server ?? OFFER, k, x ->
       if
       :: true -> skip
       :: opens(x) ->
          confirm(x);
          if
          :: k == wanted -> wanted = none; answered = k; server_next = k
          :: else
          fi
       :: else
       fi; k = 0; x = 0 }
    :: atomic { to_server ?? DATA, k, x ->
       if
       :: true -> skip
       :: opens(x) -> confirm(x)
       :: else
       fi; k = 0; x = 0 }
    /* The answer is repeated until it is acknowledged, or another handshake is wanted. */
    :: atomic { answered != none && wanted == none && nfull(to_client) ->
       to_client ! ANSWER, answered, server_current }
    :: atomic { nfull(to_client) ->
       assert(server_current == client_current || server_current == client_previous);
       to_client ! DATA, 0, server_current }
    od
}
