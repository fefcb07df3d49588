package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"maunium.net/go/mautrix/crypto/attachment"
	"maunium.net/go/mautrix/event"

	"github.com/educationpub/lectern/server/checkpoint"
)

// mediaLimit is the homeserver's upload limit. Dendrite cuts the connection of a larger upload without an answer, so it is asked for first.
type mediaLimit struct {
	mu    sync.Mutex
	bytes int64     // guarded by mu; 0: none is stated
	asked time.Time // guarded by mu
}

func (c *Companion) uploadLimit(ctx context.Context) int64 {
	m := &c.media
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.asked) > time.Hour {
		rq, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if cfg, err := c.client.GetMediaConfig(rq); err == nil {
			m.bytes, m.asked = cfg.UploadSize, time.Now()
		}
	}
	return m.bytes
}

// Upload encrypts data as a Matrix attachment and answers its EncryptedFile (v2, A256CTR) as JSON with url.
func (c *Companion) Upload(ctx context.Context, data []byte) (json.RawMessage, error) {
	if limit := c.uploadLimit(ctx); limit > 0 && int64(len(data)) > limit {
		return nil, &checkpoint.RoomError{Kind: checkpoint.TooLarge, Err: fmt.Errorf("upload: %d bytes, the homeserver takes %d", len(data), limit)}
	}
	f := attachment.NewEncryptedFile()
	box := bytes.Clone(data)
	f.EncryptInPlace(box)
	up, err := c.client.UploadBytes(ctx, box, "application/octet-stream")
	if err != nil {
		return nil, requestError("upload", err)
	}
	return json.Marshal(event.EncryptedFileInfo{EncryptedFile: *f, URL: up.ContentURI.CUString()})
}

// Download fetches and decrypts an attachment of at most limit bytes. What is not as its EncryptedFile says is ErrUntrusted.
func (c *Companion) Download(ctx context.Context, file json.RawMessage, limit int64) ([]byte, error) {
	var f event.EncryptedFileInfo
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, untrusted("attachment: not an EncryptedFile")
	}
	uri, err := f.URL.Parse()
	if err != nil || uri.IsEmpty() {
		return nil, untrusted("attachment: no mxc URL")
	}
	if err := f.PrepareForDecryption(); err != nil {
		return nil, untrusted("attachment: %v", err)
	}
	resp, err := c.client.Download(ctx, uri)
	if err != nil {
		return nil, requestError("download", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: fmt.Errorf("download: the homeserver answers %d", resp.StatusCode)}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, &checkpoint.RoomError{Kind: checkpoint.Unreachable, Err: fmt.Errorf("download: %w", withoutURL(err))}
	}
	if int64(len(data)) > limit {
		return nil, untrusted("attachment: more than %d bytes", limit)
	}
	if err := f.DecryptInPlace(data); errors.Is(err, attachment.ErrHashMismatch) {
		return nil, untrusted("attachment: wrong hash")
	} else if err != nil {
		return nil, untrusted("attachment: %v", err)
	}
	return data, nil
}
