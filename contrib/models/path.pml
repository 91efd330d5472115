/*
 * Path validation (PROTOCOL.md, section 11).
 *
 * A client that holds a key sits at A and can write any source address, V among them. It reads
 * what is sent to A and not what is sent to V. The true owner of V may be another device of the
 * same client (then it answers challenges) at any time, or never. Packets are lost, reordered,
 * repeated and late.
 *
 * Claims: V becomes the session's address only if V itself echoed the token that was sent to V in
 * this move; and until then V is sent at most three times what came from V.
 *
 * FAULT 1: one token for both addresses, and its echo counts from anywhere.
 * FAULT 2: bytes from any address raise the budget of every address.
 */
#ifndef FAULT
#define FAULT 0
#endif

#define A 0
#define V 1
#define MOVES 2
#define TOKENS 5   /* 1..4 are drawn, 0 is none */

byte current = A;          /* where the server sends without limit */
byte token[2];             /* the token each address was sent in this move */
byte drawn = 0;            /* fresh tokens so far: never repeated */
byte moves = 0;
byte received[2];          /* units, saturating at 2 */
byte sent[2];
bool known[TOKENS];        /* what the attacker has read */
bool answered[TOKENS];     /* what V has really echoed */

chan wire = [2] of { byte /* token, 0 for data */, byte /* source as written */ };

inline challenge() {
    drawn++;
    token[A] = drawn;
    if
    :: FAULT == 1 -> token[V] = drawn
    :: else -> drawn++; token[V] = drawn
    fi;
    known[token[A]] = true    /* the attacker reads everything sent to A */
}

/* The attacker: data from any address, any token it has read from any address, again and again. */
active proctype attacker() {
    byte t, from;
    do
    :: wire ! 0, A
    :: wire ! 0, V
    :: atomic { nfull(wire) -> select(t : 1 .. 4); select(from : 0 .. 1);
       if
       :: known[t] -> wire ! t, from
       :: else
       fi; t = 0; from = 0 }
    od
}

/* The device at V: answers with what was sent to it, if it is there at all. */
active proctype owner() {
    byte t;
    do
    :: atomic { token[V] != 0 && nfull(wire) ->
       t = token[V]; answered[t] = true; wire ! t, V; t = 0 }
    od
}

active proctype server() {
    byte t, from;
    do
    :: atomic { wire ?? t, from ->
       if
       :: true -> skip                                         /* lost */
       :: t == 0 ->
          if
          :: received[from] < 2 -> received[from]++
          :: else
          fi;
          if
          :: from != current && token[from] == 0 && moves < MOVES -> moves++; challenge()
          :: else
          fi
       :: t != 0 && token[from] != 0 && (t == token[from]) ->
          if
          :: from == V && current != V -> assert(answered[t])  /* the claim */
          :: else
          fi;
          current = from; token[A] = 0; token[V] = 0
       :: FAULT == 1 && t != 0 && (t == token[A] || t == token[V]) ->
          /* The echo ended the check for the new address, wherever it came from. */
          assert(answered[t] && from == V || current == V);
          current = V; token[A] = 0; token[V] = 0
       :: else
       fi; t = 0; from = 0 }
    /* The check times out: nothing is proven, the tokens are void. */
    :: atomic { token[V] != 0 -> token[A] = 0; token[V] = 0 }
    /* The server has something to send to V, which is not proven. */
    :: atomic { current != V && FAULT != 2 && sent[V] < 3 * received[V] ->
       sent[V]++; assert(sent[V] <= 3 * received[V]) }
    :: atomic { current != V && FAULT == 2 && sent[V] < 3 * (received[A] + received[V]) ->
       sent[V]++; assert(sent[V] <= 3 * received[V]) }
    od
}
