package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/educationpub/lectern/server/wire"
)

// RTC says how data channels are served.
type RTC struct {
	// Listen is the one UDP address, "host:port"; an empty host means every interface. "": no data channels.
	Listen string
	// PublicIP is announced instead of local addresses, for servers behind a NAT or in a container.
	PublicIP string
	// Loopback announces loopback addresses. Development and tests only.
	Loopback bool
	// LogPeople: boards with more people keep the log on the WebSocket. 0: no such limit.
	LogPeople int
	// Max PeerConnections at a time, 500 if 0.
	Max int
	// TicketTime is how long a ticket is good, 15 s if 0.
	TicketTime time.Duration
}

// rtcAPI makes PeerConnections on one UDP socket. The server is ICE-lite: it sends nothing to an address before that address has proved that
// it knows the session's ICE password, so offers cannot make it probe a network (security requirement 37).
type rtcAPI struct {
	api    *webrtc.API
	mux    ice.UDPMux
	addr   net.Addr
	max    int64
	ticket time.Duration
	open   atomic.Int64
}

func newRTC(cfg RTC) (*rtcAPI, error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, err
	}
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	r := &rtcAPI{max: int64(cfg.Max), ticket: cfg.TicketTime}
	def(&r.max, 500)
	def(&r.ticket, 15*time.Second)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		n, err := strconv.Atoi(port)
		if err != nil || n == 0 {
			return nil, errors.New("a fixed port is needed to listen on every interface")
		}
		opts := []ice.UDPMuxFromPortOption{ice.UDPMuxFromPortWithReadBufferSize(socketBuffer), ice.UDPMuxFromPortWithWriteBufferSize(socketBuffer), ice.UDPMuxFromPortWithLogger(quiet.NewLogger("mux"))}
		if cfg.Loopback {
			opts = append(opts, ice.UDPMuxFromPortWithLoopback())
		}
		m, err := ice.NewMultiUDPMuxFromPort(n, opts...)
		if err != nil {
			return nil, err
		}
		r.mux, r.addr = m, &net.UDPAddr{Port: n}
	} else {
		a, err := net.ResolveUDPAddr("udp", cfg.Listen)
		if err != nil {
			return nil, err
		}
		c, err := net.ListenUDP("udp", a)
		if err != nil {
			return nil, err
		}
		_ = c.SetReadBuffer(socketBuffer) // the system's limit may be lower; then that
		_ = c.SetWriteBuffer(socketBuffer)
		r.mux, r.addr = webrtc.NewICEUDPMux(quiet.NewLogger("mux"), c), c.LocalAddr()
	}

	var e webrtc.SettingEngine
	e.LoggerFactory = quiet
	e.SetICEUDPMux(r.mux)
	e.SetLite(true)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.DisableActiveTCP(true)
	e.SetIncludeLoopbackCandidate(cfg.Loopback)
	e.SetICETimeouts(7*time.Second, 25*time.Second, 2*time.Second)
	e.SetSCTPMaxMessageSize(wire.MaxFrame)
	e.SetSCTPMaxReceiveBufferSize(256 << 10)
	e.DetachDataChannels()
	if cfg.PublicIP != "" {
		err := e.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{External: []string{cfg.PublicIP}, AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteReplace})
		if err != nil {
			return nil, errors.Join(err, r.mux.Close())
		}
	}
	// Given empty, or pion registers the default codecs and interceptors: four goroutines per peer that data channels never use.
	r.api = webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(&webrtc.MediaEngine{}), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	return r, nil
}

// socketBuffer of the one UDP socket that everybody shares.
const socketBuffer = 4 << 20

func (r *rtcAPI) close() error { return r.mux.Close() }

// acquire counts a PeerConnection; false: there are too many.
func (r *rtcAPI) acquire() bool {
	if r.open.Add(1) > r.max {
		r.open.Add(-1)
		return false
	}
	return true
}

// errOffer is an offer that must not be answered; its text is for people.
type errOffer string

func (e errOffer) Error() string { return string(e) }

// checkOffer reads an offer and answers it without its candidates: the server finds the client where its checks come from.
func checkOffer(text string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return "", errOffer("The offer is not a session description.")
	}
	if len(d.MediaDescriptions) != 1 {
		return "", errOffer("The offer must have exactly one section, of type application.")
	}
	m := d.MediaDescriptions[0]
	if m.MediaName.Media != "application" || len(m.MediaName.Formats) != 1 || m.MediaName.Formats[0] != "webrtc-datachannel" || strings.Join(m.MediaName.Protos, "/") != "UDP/DTLS/SCTP" {
		return "", errOffer("The offer may carry data channels only, no audio or video.")
	}
	for _, key := range []string{"fingerprint", "ice-ufrag", "ice-pwd"} {
		if !has(d.Attributes, key) && !has(m.Attributes, key) {
			return "", errOffer(fmt.Sprintf("The offer lacks %s.", key))
		}
	}
	d.Attributes, m.Attributes = withoutCandidates(d.Attributes), withoutCandidates(m.Attributes)
	b, err := d.Marshal()
	if err != nil {
		return "", errOffer("The offer is not a session description.")
	}
	return string(b), nil
}

func has(list []sdp.Attribute, key string) bool {
	for _, a := range list {
		if a.Key == key {
			return true
		}
	}
	return false
}

func withoutCandidates(list []sdp.Attribute) []sdp.Attribute {
	out := make([]sdp.Attribute, 0, len(list))
	for _, a := range list {
		switch a.Key {
		case "candidate", "remote-candidates", "end-of-candidates", "ice-lite":
		default:
			out = append(out, a)
		}
	}
	return out
}
