package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/educationpub/lectern/crdt/board"
	"github.com/educationpub/lectern/server"
	"github.com/educationpub/lectern/server/focus"
	"github.com/educationpub/lectern/server/store"
	"github.com/educationpub/lectern/server/transport"
)

// appMetrics are the counters of boards and store. No label names a room, a board or a person.
type appMetrics struct {
	commits  prometheus.Histogram
	group    prometheus.Histogram
	durable  prometheus.Histogram
	changes  prometheus.Counter
	bytes    prometheus.Counter
	refused  *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	boards   prometheus.Gauge
	sessions prometheus.Gauge
	failed   prometheus.Counter
	faults   *prometheus.GaugeVec
	squashes *prometheus.HistogramVec
	late     prometheus.Counter
	carries  prometheus.Counter
	saves    *prometheus.HistogramVec
	saved    prometheus.Counter
	commands *prometheus.CounterVec
	calls    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *appMetrics {
	fast := []float64{.0002, .0005, .001, .002, .005, .01, .05, .25, 1}
	m := &appMetrics{
		commits:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lectern_store_commit_seconds", Help: "BEGIN to COMMIT of one group.", Buckets: fast}),
		group:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lectern_store_group_requests", Help: "Requests that shared one commit.", Buckets: []float64{1, 2, 5, 10, 50, 200}}),
		durable:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lectern_board_durable_seconds", Help: "From a board's append until it is on disk.", Buckets: fast}),
		changes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_changes_total", Help: "Committed changes."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_change_bytes_total", Help: "Bytes of committed changes."}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lectern_changes_refused_total", Help: "Refused changes by code."}, []string{"code"}),
		dropped:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lectern_dropped_total", Help: "What was not forwarded, by reason."}, []string{"reason"}),
		boards:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "lectern_boards", Help: "Open boards."}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lectern_sessions", Help: "Attached sessions."}),
		failed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_boards_failed_total", Help: "Boards closed because their log failed."}),
	}
	m.squashes = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lectern_squash_seconds", Help: "From reading a page to its next epoch on disk, by outcome.", Buckets: []float64{.05, .2, 1, 5, 30}}, []string{"outcome"})
	m.late = prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_changes_late_total", Help: "Committed changes for epochs that were over."})
	m.carries = prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_carries_total", Help: "Changes authored to carry late work into newer epochs."})
	reg.MustRegister(m.squashes, m.late, m.carries)
	m.faults = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lectern_store_fault", Help: "1 while nothing can be stored, by reason: alert on it."}, []string{"why"})
	m.fault(nil)
	m.saves = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lectern_checkpoint_seconds", Help: "Merging boards and writing them to their rooms, by step and outcome.", Buckets: []float64{.01, .05, .2, 1, 5, 30}}, []string{"step", "outcome"})
	m.saved = prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_checkpoint_bytes_total", Help: "Bytes written to rooms."})
	m.commands = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lectern_commands_total", Help: "Messages the companion heard, by command or by why it was not obeyed."}, []string{"what"})
	m.calls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lectern_calls_total", Help: "Tokens, moderators' acts, webhooks and removals of the call focus, by outcome."}, []string{"what", "outcome"})
	reg.MustRegister(m.saves, m.saved, m.commands, m.calls)
	reg.MustRegister(m.commits, m.group, m.durable, m.changes, m.bytes, m.refused, m.dropped, m.boards, m.sessions, m.failed, m.faults)
	return m
}

func (m *appMetrics) committed(requests int, took time.Duration) {
	m.group.Observe(float64(requests))
	m.commits.Observe(took.Seconds())
}

func (m *appMetrics) command(what string) { m.commands.WithLabelValues(what).Inc() }

func (m *appMetrics) call(o focus.Observation) { m.calls.WithLabelValues(o.What, o.Outcome).Inc() }

func (m *appMetrics) fault(f *store.Fault) {
	for _, why := range []store.FaultKind{store.Full, store.Failing, store.Damaged} {
		v := 0.0
		if f != nil && f.Kind == why {
			v = 1
		}
		m.faults.WithLabelValues(string(why)).Set(v)
	}
}

func (m *appMetrics) observe() board.Observe {
	return board.Observe{
		Commit: func(entries, bytes int, took time.Duration) {
			m.changes.Add(float64(entries))
			m.bytes.Add(float64(bytes))
			m.durable.Observe(took.Seconds())
		},
		Refused:  func(code string) { m.refused.WithLabelValues(code).Inc() },
		Dropped:  func(reason string, n int) { m.dropped.WithLabelValues(reason).Add(float64(n)) },
		Boards:   func(d int) { m.boards.Add(float64(d)) },
		Sessions: func(d int) { m.sessions.Add(float64(d)) },
		Squash:   func(took time.Duration, err error) { m.squashes.WithLabelValues(outcome(err)).Observe(took.Seconds()) },
		Late: func(late, carries int) {
			m.late.Add(float64(late))
			m.carries.Add(float64(carries))
		},
		Failed: m.failed.Inc,
	}
}

// checkpoint hears of every merge and every write to a room.
func (m *appMetrics) checkpoint(step string, took time.Duration, bytes int, err error) {
	m.saves.WithLabelValues(step, outcome(err)).Observe(took.Seconds())
	m.saved.Add(float64(bytes))
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// transport publishes the counters that the transport keeps itself.
func (m *appMetrics) transport(reg prometheus.Registerer, stats func() transport.Stats) {
	lanes := [2]string{"websocket", "datachannel"}
	for i, lane := range lanes {
		for name, read := range map[string]func(transport.Stats) uint64{
			"frames_in": func(s transport.Stats) uint64 { return s.FramesIn[i] }, "frames_out": func(s transport.Stats) uint64 { return s.FramesOut[i] },
			"bytes_in": func(s transport.Stats) uint64 { return s.BytesIn[i] }, "bytes_out": func(s transport.Stats) uint64 { return s.BytesOut[i] },
			"entries_in": func(s transport.Stats) uint64 { return s.EntriesIn[i] }, "entries_out": func(s transport.Stats) uint64 { return s.EntriesOut[i] },
			"moves": func(s transport.Stats) uint64 { return s.LaneMoves[i] },
		} {
			reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "lectern_lane_" + name + "_total", Help: fmt.Sprintf("%s by lane.", name), ConstLabels: prometheus.Labels{"lane": lane},
			}, func() float64 { return float64(read(stats())) }))
		}
	}
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lectern_channels", Help: "Open data channels."}, func() float64 { return float64(stats().Channels) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lectern_sockets_waiting", Help: "WebSockets that have not signed in yet."}, func() float64 { return float64(stats().Unauthorized) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lectern_slow_closed_total", Help: "Sessions closed because they did not read."}, func() float64 { return float64(stats().SlowClosed) }),
	)
}

// serveMetrics is the operator's own listener.
func serveMetrics(ctx context.Context, addr string, g prometheus.Gatherer) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", server.MetricsHandler(g))
	srv := server.Listener(mux)
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
