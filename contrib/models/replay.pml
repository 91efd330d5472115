/*
 * Recorded INITs (PROTOCOL.md, section 3).
 *
 * The client's clock may be wrong and go back. An attacker records every INIT, keeps some from
 * arriving, and plays recordings in any order and number. It can show a cookie for its own
 * address, but each time costs it an exchange; it cannot show one that is not asked for.
 *
 * Claims: an INIT that was accepted once is never accepted again without a cookie; and recordings
 * never take the tokens of handshakes whose clock is new.
 *
 * FAULT 1: the last clock is kept, not the highest.
 * FAULT 2: doubtful INITs take their tokens from the same bucket.
 */
#ifndef FAULT
#define FAULT 0
#endif

#define CLOCKS 5      /* 0 is "no clock" */
#define BURST 2

chan wire = [2] of { byte /* clock */, bool /* cookie */ };

bool recorded[CLOCKS];
bool accepted[CLOCKS];
byte kept = 0;
bool any = false;
byte bucket = BURST, doubtful = BURST, fresh = 0;

active proctype client() {
    byte clock;
    do
    :: atomic { nfull(wire) -> select(clock : 0 .. 4); recorded[clock] = true;
       if
       :: wire ! clock, false
       :: wire ! clock, true
       fi; clock = 0 }
    od
}

active proctype attacker() {
    byte clock;
    do
    :: atomic { nfull(wire) -> select(clock : 0 .. 4);
       if
       :: recorded[clock] -> wire ! clock, false
       :: recorded[clock] -> wire ! clock, true
       :: else
       fi; clock = 0 }
    od
}

active proctype server() {
    byte clock;
    bool cookie;
    do
    :: atomic { wire ?? clock, cookie ->
       if
       :: true -> skip                                          /* kept from arriving */
       :: clock > kept || !any ->
          /* A new clock. */
          if
          :: bucket > 0 ->
             bucket--; fresh++;
             assert(cookie || !accepted[clock]);
             accepted[clock] = true; any = true; kept = clock
          :: else -> assert(fresh == BURST)                     /* only new clocks emptied it */
          fi
       :: !(clock > kept || !any) && cookie ->
          if
          :: FAULT == 2 && bucket > 0 -> bucket--; accepted[clock] = true
          :: FAULT != 2 && doubtful > 0 ->
             doubtful--; accepted[clock] = true;
             if
             :: FAULT == 1 -> kept = clock
             :: else
             fi
          :: else
          fi
       :: else                                                  /* a COOKIE is sent */
       fi; clock = 0; cookie = false }
    /* A second passes. */
    :: atomic { bucket < BURST || doubtful < BURST ->
       bucket = BURST; doubtful = BURST; fresh = 0 }
    od
}
