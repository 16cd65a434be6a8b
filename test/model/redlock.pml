/*
 * Redlock on three nodes, a clock that jumps and a node that forgets; and behind it nothing, or the ledger.
 *
 * Bounds:   3 nodes, quorum 2, 2 clients, 3 deliveries in all, a ttl of 2 ticks; at most two faults, each of any node: its clock jumps
 *           past the ttl, or it restarts empty (both come to the same: its key is gone). One vote of each round may be lost on its
 *           way. A lock is trusted until a ttl after the first node was asked, by a clock that runs as evenly as the nodes' do: the
 *           best that a client can do.
 * Time:     one tick is one tick everywhere. Between two steps of a client any number of ticks may pass: that is a pause.
 * Left out: renewal, waiting, drift, a clock that jumps back (it makes waiting longer and breaks no safety).
 * Row:      one row of a pool, two claimants; every delivery is of either, so that the row is resumed and passed on. The lock is the
 *           row's.
 *
 * EXCLUSION: at most one client believes that it holds the lock. Holds without faults (NO_FAULTS) and must fail with them.
 * LEDGER:    S1, S3 and S4 behind the same lock under the same faults. Must hold; without the check of the token (NO_FENCE) it must fail.
 * NO_LEDGER: the row is read and written under the lock alone. Must fail, with NO_FAULTS too: a pause is enough.
 */

#define NODES 3
#define QUORUM 2
#define TTL 2
#define NOBODY 0

#ifndef DELIVERIES
#define DELIVERIES 3
#endif

#ifdef NO_FENCE
#define IS_NEWEST true
#else
#define IS_NEWEST (newest == token)
#endif

#ifdef NO_FAULTS
#define FAULTS 0
#else
#define FAULTS 2
#endif

byte keyOf[NODES];     /* whose key a node has */
byte left[NODES];      /* ticks until it expires */
byte trusted[3];       /* ticks for which a client may trust what it has */
bool believes[3];
byte faults = FAULTS;
byte deliveries = DELIVERIES;

/* The row and its claim, as the ledger has them. */
byte owner;
byte newest;
bool live, completed;

/* What the assertions know by themselves. */
byte told, granted;

inline erase(node) { keyOf[node] = NOBODY; left[node] = 0 }

inline giveBack() {
  d_step {
    if :: keyOf[0] == me -> erase(0) :: else fi;
    if :: keyOf[1] == me -> erase(1) :: else fi;
    if :: keyOf[2] == me -> erase(2) :: else fi;
    trusted[me] = 0;
    believes[me] = false;
    node = 0; votes = 0; claimant = 0; token = 0
  }
}

inline tell() {
  assert((told & ~claimant) == 0);                                        /* S1 */
  assert(token > granted);                                                /* S3 */
  told = told | claimant;
  granted = token
}

proctype Client(byte me) {
  byte node, votes, claimant, token;

end_idle:
  atomic {
    deliveries > 0 ->
    if
    :: claimant = 1
    :: deliveries < DELIVERIES -> claimant = 2                     /* the first one's name does not matter */
    fi;
    deliveries--;
    trusted[me] = TTL
  }

asking:
  do
  :: atomic {
      node < NODES ->
      if
      :: keyOf[node] == NOBODY -> keyOf[node] = me; left[node] = TTL; votes++
      :: keyOf[node] != NOBODY || votes == node           /* refused, or lost on its way: one vote of a round at most */
      fi;
      node++
    }
  :: atomic { node == NODES -> break }
  od;

  atomic {
    if
    :: votes >= QUORUM && trusted[me] > 0
    :: else -> giveBack(); goto end_idle
    fi;
    node = 0;
    votes = 0;
#ifdef LEDGER
    trusted[me] = 0                                       /* from here on it asks the ledger, and never looks at the time again */
#else
    believes[me] = true
#endif
  }

#ifdef EXCLUSION
  assert(!(believes[1] && trusted[1] > 0 && believes[2] && trusted[2] > 0)); /* exclusion */
#endif

#ifdef NO_LEDGER
  atomic {
    if
    :: trusted[me] > 0 && owner == NOBODY                 /* read under the lock, which is looked at just before */
    :: else -> giveBack(); goto end_idle
    fi
  }
  d_step { newest++; token = newest; owner = claimant; tell() }
  goto ending;
#endif

#ifdef LEDGER
  atomic {
    if
    :: owner == NOBODY || (owner == claimant && !completed && !live) ->
      newest++;
      token = newest;
      owner = claimant;
      live = true;
      tell()
    :: owner != NOBODY && !(owner == claimant && !completed && !live) -> giveBack(); goto end_idle
    fi
  }

  if
  :: goto completing
  :: goto releasing
  :: goto ending                                          /* crash: the lease runs out */
  fi;

completing:
  atomic {
    if
    :: owner == claimant && IS_NEWEST && !completed ->
      assert(token == granted);                                           /* S4 */
      completed = true;
      live = false
    :: else
    fi;
    goto ending
  }

releasing:
  atomic {
    if
    :: owner == claimant && newest == token && !completed -> owner = NOBODY; live = false; told = told & ~claimant
    :: else
    fi
  }
#endif

ending:
  giveBack();
  goto end_idle
}

active proctype World() {
  byte n;

  atomic { run Client(1); run Client(2) }
end_world:
  do
  :: d_step {
      left[0] + left[1] + left[2] + trusted[1] + trusted[2] > 0 ->
      n = 0;
      do
      :: n < NODES ->
        if
        :: left[n] > 1 -> left[n]--
        :: left[n] == 1 -> erase(n)
        :: else
        fi;
        n++
      :: else -> break
      od;
      n = 0;
      if :: trusted[1] > 0 -> trusted[1]-- :: else fi;
      if :: trusted[2] > 0 -> trusted[2]-- :: else fi
    }
  :: atomic {                                             /* a clock jumps past the ttl, or a node restarts empty: its key is gone */
      faults > 0 ->
      faults--;
      if
      :: erase(0)
      :: erase(1)
      :: erase(2)
      fi
    }
  :: atomic { live -> live = false }
  od
}
