package app

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/educationpub/lectern/server/devstack"
	"github.com/educationpub/lectern/server/turn"
)

// devLiveKit starts a call server that tells Lectern what happens, and puts it into the configuration.
func devLiveKit(ctx context.Context, o *DevOptions, lectern string) (*devstack.LiveKit, error) {
	dir := filepath.Join(o.Dir, "livekit")
	lk := devstack.LiveKitOptions{Dir: dir, Webhook: lectern + "/livekit/sfu_webhook", Progress: o.Out}
	if !o.NoDataChannel {
		if err := devRelays(o, &lk); err != nil {
			return nil, err
		}
	}
	l, err := devstack.StartLiveKit(ctx, lk)
	if err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(l.Secret), 0o600); err != nil {
		l.Stop()
		return nil, err
	}
	o.Calls.LiveKitURL, o.Calls.LiveKitAPI, o.Calls.Key, o.Calls.SecretFile = l.URL(), l.URL(), l.Key, secret
	return l, nil
}

// devRelays lets people in calls use the TURN server that boards have. LiveKit starts first: it must know where the built-in one will listen, and its
// secret, which it gives credentials out with; and relays must lead to it.
func devRelays(o *DevOptions, lk *devstack.LiveKitOptions) (err error) {
	if o.Turn.SecretFile == "" {
		o.Turn.SecretFile = filepath.Join(o.Dir, "turn.secret")
	}
	if lk.TURNSecretFile, err = filepath.Abs(o.Turn.SecretFile); err != nil { // LiveKit runs in another folder
		return err
	}
	if lk.TURN = o.Turn.URLs; o.Turn.Listen == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(o.Turn.Listen)
	if err != nil {
		return err
	}
	if at.Port() == 0 {
		if at, err = freePort(at.Addr()); err != nil {
			return err
		}
	}
	media, err := freePort(at.Addr())
	if err != nil {
		return err
	}
	lk.UDPPort = int(media.Port())
	o.Turn.Listen, o.Turn.Peers = at.String(), append(o.Turn.Peers, net.JoinHostPort("127.0.0.1", strconv.Itoa(lk.UDPPort)))
	lk.TURN = turn.URLs(at)
	_, err = turn.Secret(lk.TURNSecretFile, true)
	return err
}

// freePort was free for UDP and TCP a moment ago.
func freePort(a netip.Addr) (netip.AddrPort, error) {
	for range 20 {
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
		if err != nil {
			return netip.AddrPort{}, err
		}
		at := netip.AddrPortFrom(a, udp.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err == nil {
			err = tcp.Close()
		}
		if err = errors.Join(err, udp.Close()); err == nil {
			return at, nil
		}
	}
	return netip.AddrPort{}, errors.New("no port is free for UDP and TCP")
}
