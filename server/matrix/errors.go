package matrix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"maunium.net/go/mautrix"

	"github.com/educationpub/lectern/server/checkpoint"
)

// requestError classifies a failed request by its HTTP status (servers differ in the errcodes: 413 is M_TOO_LARGE or M_BAD_JSON). Its text never
// holds a URL, a token or content: only what was being done, the status, the errcode and the first 200 bytes of the server's sentence
// without ids.
func requestError(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *checkpoint.RoomError
	if errors.As(err, &known) {
		return err
	}
	fail := func(k checkpoint.ErrorKind, after time.Duration, cause error) error {
		return &checkpoint.RoomError{Kind: k, RetryAfter: after, Err: cause}
	}
	var he mautrix.HTTPError
	if !errors.As(err, &he) {
		var ne net.Error
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) {
			return fail(checkpoint.Unreachable, 0, fmt.Errorf("%s: %w", doing, withoutURL(err)))
		}
		return fmt.Errorf("%s: %w", doing, err)
	}
	if he.Response == nil || he.WrappedError != nil && he.RespError == nil {
		return fail(checkpoint.Unreachable, 0, fmt.Errorf("%s: %w", doing, withoutURL(he.WrappedError)))
	}
	status := he.Response.StatusCode
	code, text := "", ""
	if he.RespError != nil {
		code, text = he.RespError.ErrCode, he.RespError.Err
	}
	cause := fmt.Errorf("%s: the homeserver answers %d %s %q", doing, status, clip(code, 60), clip(matrixID.ReplaceAllString(text, "[id]"), 200))
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return fail(checkpoint.TooLarge, 0, cause)
	case status == http.StatusTooManyRequests:
		return fail(checkpoint.RateLimited, retryAfter(he), cause)
	case code == mautrix.MUnknownToken.ErrCode || code == mautrix.MMissingToken.ErrCode || code == "M_USER_DEACTIVATED":
		return fail(checkpoint.Revoked, 0, cause)
	case status == http.StatusForbidden && code != mautrix.MWrongRoomKeysVersion.ErrCode:
		return fail(checkpoint.Forbidden, 0, cause)
	case status >= 500:
		return fail(checkpoint.Failing, 0, cause)
	case status == http.StatusNotFound || status == http.StatusRequestTimeout:
		return fail(checkpoint.Unreachable, 0, cause)
	}
	return cause
}

// matrixID: people, rooms and events are not named in errors, which end in logs.
var matrixID = regexp.MustCompile(`[@!$#][A-Za-z0-9._=/+:\[\]-]{2,}`)

// retryAfter reads retry_after_ms, then Retry-After; between 100 ms and an hour.
func retryAfter(he mautrix.HTTPError) time.Duration {
	d := time.Second
	if s, err := strconv.Atoi(he.Response.Header.Get("Retry-After")); err == nil {
		d = time.Duration(s) * time.Second
	}
	if he.RespError != nil {
		if ms, ok := he.RespError.ExtraData["retry_after_ms"].(float64); ok && ms >= 0 && ms < 1e9 {
			d = time.Duration(ms) * time.Millisecond
		}
	}
	return min(max(d, 100*time.Millisecond), time.Hour)
}

func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	if err == nil {
		return errors.New("no answer")
	}
	return err
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func isKind(err error, k checkpoint.ErrorKind) bool {
	var re *checkpoint.RoomError
	return errors.As(err, &re) && re.Kind == k
}

// passing: trying again may help.
func passing(err error) bool {
	return isKind(err, checkpoint.Unreachable) || isKind(err, checkpoint.RateLimited) || isKind(err, checkpoint.Failing)
}

func httpStatus(err error) int {
	var he mautrix.HTTPError
	if errors.As(err, &he) && he.Response != nil {
		return he.Response.StatusCode
	}
	return 0
}

func untrusted(why string, args ...any) error {
	return fmt.Errorf("%w: "+why, append([]any{checkpoint.ErrUntrusted}, args...)...)
}
