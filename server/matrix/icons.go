package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"
	"time"

	"maunium.net/go/mautrix"

	"github.com/educationpub/lectern/widgets"
)

// icons are the kinds' pictures on the homeserver, for the widget events: clients show them in their lists. They are uploaded once; where that does not work, widgets
// come without.
type icons struct {
	mu   sync.RWMutex
	urls map[string]string // guarded by mu; mxc address by kind
}

const iconRetry = time.Minute

// Icon answers the address of a kind's picture, "" while there is none.
func (c *Companion) Icon(kind string) string {
	c.icons.mu.RLock()
	defer c.icons.mu.RUnlock()
	return c.icons.urls[kind]
}

// Icons are all there are, by kind.
func (c *Companion) Icons() map[string]string {
	c.icons.mu.RLock()
	defer c.icons.mu.RUnlock()
	return maps.Clone(c.icons.urls)
}

func (c *Companion) iconLoop(ctx context.Context) {
	for _, kind := range widgets.Kinds {
		for {
			err := c.loadIcon(ctx, kind)
			if err == nil || ctx.Err() != nil {
				break
			}
			c.log.Warn("a widget's picture is not on the homeserver", "kind", kind.Name, "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(iconRetry):
			}
		}
	}
}

// loadIcon finds what was uploaded before, or uploads.
func (c *Companion) loadIcon(ctx context.Context, kind widgets.Kind) error {
	picture := kind.Icon()
	sum := sha256.Sum256(picture)
	name := "icon-" + kind.Name + "-" + hex.EncodeToString(sum[:8])
	url, err := c.meta(ctx, name)
	if err != nil {
		return err
	}
	if url == nil {
		up, err := c.client.UploadMedia(ctx, mautrix.ReqUploadMedia{ContentBytes: picture, ContentType: "image/png", FileName: kind.Name + ".png"})
		if err != nil {
			return requestError("upload a picture", err)
		}
		url = []byte(up.ContentURI.String())
		if err := c.setMeta(ctx, name, url); err != nil {
			return err
		}
	}
	c.icons.mu.Lock()
	defer c.icons.mu.Unlock()
	if c.icons.urls == nil {
		c.icons.urls = map[string]string{}
	}
	c.icons.urls[kind.Name] = string(url)
	return nil
}
