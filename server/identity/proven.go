package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// hash names a proof without its token.
func (p Proof) hash() [32]byte {
	return sha256.Sum256([]byte("openid\x00" + p.Server + "\x00" + p.Token))
}

const (
	repeatFor  = 5 * time.Minute
	maxRepeats = 10_000
)

// proven remembers for what a proof was used, so that the same request can be made again. It is bounded: when full, a repetition may be refused and the client
// gets another token from its homeserver.
type proven struct {
	mu sync.Mutex
	of map[[32]byte]proof // guarded by mu
}

type proof struct {
	purpose, user string
	until         time.Time
}

func (p *proven) find(hash [32]byte, purpose string, now time.Time) (user string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.of[hash]
	return known.user, ok && known.purpose == purpose && now.Before(known.until)
}

func (p *proven) keep(hash [32]byte, purpose, user string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.of) >= maxRepeats {
		for h, k := range p.of {
			if !now.Before(k.until) {
				delete(p.of, h)
			}
		}
		if len(p.of) >= maxRepeats {
			return
		}
	}
	p.of[hash] = proof{purpose, user, now.Add(repeatFor)}
}
