package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/educationpub/lectern/server/focus"
)

// Companions of instances whose operators have named each other ask each other for what only the other can do, by to-device messages encrypted with Olm.

const (
	maxQuestion  = 4 << 10 // bytes, either way
	maxQuestions = 32      // waiting to be answered
)

// asking is what is open with other companions.
type asking struct {
	in chan asked // to be answered

	mu   sync.Mutex
	open map[string]*question // guarded by mu; by nonce
}

type asked struct {
	by id.UserID
	q  focus.Question
}

type question struct {
	left    map[id.UserID]bool // guarded by asking.mu; asked, and not heard of yet
	answers chan focus.Answer  // as many as were asked fit in
}

func (a *asking) init() {
	a.in, a.open = make(chan asked, maxQuestions), map[string]*question{}
}

// Ask asks the companions in a room that are accepted here, and answers what they say until all have answered or ctx ends; silent is how many did not.
func (c *Companion) Ask(ctx context.Context, q focus.Question) (answers []focus.Answer, silent int) {
	wait := &question{left: map[id.UserID]bool{}}
	for user := range c.accept {
		if st, _ := c.Standing(q.Room, user); st.Joined && user != c.cfg.UserID {
			wait.left[id.UserID(user)] = true
		}
	}
	n := len(wait.left)
	if n == 0 {
		return nil, 0
	}
	to := make([]id.UserID, 0, n)
	for user := range wait.left {
		to = append(to, user)
	}
	wait.answers = make(chan focus.Answer, n)
	c.asking.mu.Lock()
	c.asking.open[q.Nonce] = wait
	c.asking.mu.Unlock()
	defer func() {
		c.asking.mu.Lock()
		delete(c.asking.open, q.Nonce)
		c.asking.mu.Unlock()
	}()
	if err := c.tell(ctx, to, focus.QuestionType, q); err != nil {
		c.log.Warn("other instances could not be asked", "err", err)
		return nil, n
	}
	for len(answers) < n {
		select {
		case a := <-wait.answers:
			answers = append(answers, a)
		case <-ctx.Done():
			return answers, n - len(answers)
		}
	}
	return answers, 0
}

// tell sends something to every device of other companions.
func (c *Companion) tell(ctx context.Context, users []id.UserID, typ string, content any) error {
	devices, err := c.devicesOf(ctx, users)
	if err != nil {
		return err
	}
	reached, err := c.sendOlm(ctx, event.Type{Type: typ, Class: event.ToDeviceEventType}, &event.Content{Parsed: content}, devices)
	if err == nil && len(reached) == 0 {
		err = fmt.Errorf("none of %d devices can be reached", len(devices))
	}
	return requestError("sendToDevice", err)
}

// toldBy takes what was decrypted of a to-device message. Who is not accepted, or uses a device that their homeserver does not show, is not heard.
func (c *Companion) toldBy(d *crypto.DecryptedOlmEvent) {
	raw := d.Content.VeryRaw
	if d.Sender == c.user || !c.accept[string(d.Sender)] || d.SenderDevice == nil || len(raw) > maxQuestion {
		return
	}
	switch d.Type.Type {
	case focus.QuestionType:
		var q focus.Question
		if c.cfg.OnAsked == nil || json.Unmarshal(raw, &q) != nil {
			return
		}
		select {
		case c.asking.in <- asked{d.Sender, q}:
		default:
			c.log.Warn("too many questions of other instances", "from", d.Sender)
		}
	case focus.AnswerType:
		var a focus.Answer
		if json.Unmarshal(raw, &a) != nil {
			return
		}
		c.asking.mu.Lock()
		defer c.asking.mu.Unlock()
		if q := c.asking.open[a.Nonce]; q != nil && q.left[d.Sender] {
			delete(q.left, d.Sender)
			q.answers <- a
		}
	}
}

// answerLoop answers other instances one after the other.
func (c *Companion) answerLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-c.asking.in:
			answer := c.cfg.OnAsked(ctx, string(a.by), a.q)
			if err := c.tell(ctx, []id.UserID{a.by}, focus.AnswerType, answer); err != nil && ctx.Err() == nil {
				c.log.Warn("another instance's question was not answered", "from", a.by, "err", err)
			}
		}
	}
}
