/*
 * A message that follows from a claim: written with the claim's completion, sent on by a dispatcher, deduplicated by its receiver.
 *
 * Bounds:   1 claim, 2 pods, 2 dispatchers, at most 3 crashes between any two steps, at most 2 lost answers to COMMIT.
 * Atomic:   a transaction: it commits as a whole or not at all. A dispatcher locks the row that it sends until it has deleted it;
 *           a crash gives the lock back.
 * Left out: several messages, their order, refusals by the broker.
 * Breaks:   the receiver counts the effect once, never for a claim that was not completed, and at rest exactly once.
 *
 * Variants that must fail: OUTSIDE (the message is written after the completion has committed), BEFORE (it is sent before),
 * NO_DEDUPE (the receiver counts what arrives), DELETE_FIRST (the dispatcher deletes before it sends).
 */

#define NOBODY 0
#define CRASHES 3
#define LOST_ANSWERS 2

bool completed, settled;
bool row;              /* the outbox has the message */
byte lock;             /* the dispatcher that has it */
byte crashes = CRASHES;
byte lostAnswers = LOST_ANSWERS;

byte arrived;          /* raw arrivals, counted up to 2 */
byte counted;          /* the effect, as the receiver counts it */

inline arrive() {
  arrived = (arrived < 2 -> arrived + 1 : 2);
#ifdef NO_DEDUPE
  counted++;
#else
  counted = 1;
#endif
  assert(completed);                                                      /* only after */
  assert(counted == 1)                                                    /* at most once */
}

proctype Pod() {
end_idle:
  !settled;

claim:
  if
  :: atomic { completed -> goto settle }                  /* replayed */
  :: atomic { crashes > 0 -> crashes--; goto end_idle }
  :: !completed
  fi;

#ifdef BEFORE
  atomic { arrive() }
#endif

commit:
#ifdef OUTSIDE
  if
  :: atomic { completed -> goto settle }
  :: d_step { !completed -> completed = true }
  fi;
  if
  :: d_step { row = true }
  :: atomic { crashes > 0 -> crashes--; goto end_idle }
  fi;
#else
  if
  :: atomic { completed -> goto settle }                  /* another delivery was first: lost, and then replayed */
  :: d_step { !completed -> completed = true; row = true }
  :: atomic { lostAnswers > 0 && !completed -> lostAnswers--; completed = true; row = true; goto commit }
  :: atomic { lostAnswers > 0 -> lostAnswers--; goto commit }
  :: atomic { crashes > 0 -> crashes--; goto end_idle }
  fi;
#endif

settle:
  if
  :: d_step { assert(completed); settled = true }
  :: atomic { crashes > 0 -> crashes--; goto end_idle }
  fi;
  goto end_idle
}

proctype Dispatcher(byte me) {
end_idle:
  atomic { row && lock == NOBODY -> lock = me }
#ifdef DELETE_FIRST
  d_step { row = false; lock = NOBODY }
  if
  :: atomic { arrive() }
  :: atomic { crashes > 0 -> crashes-- }
  fi;
  goto end_idle;
#endif
  if
  :: atomic { arrive() }
  :: atomic { crashes > 0 -> crashes--; lock = NOBODY; goto end_idle }
  fi;
  if
  :: d_step { row = false; lock = NOBODY }
  :: atomic { crashes > 0 -> crashes--; lock = NOBODY }
  fi;
  goto end_idle
}

active proctype World() {
  atomic { run Pod(); run Pod(); run Dispatcher(1); run Dispatcher(2) }
  timeout;
  assert(settled && counted == 1 && arrived >= 1)                         /* once */
}
