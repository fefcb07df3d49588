package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics of the HTTP side. Labels are route patterns and codes, never rooms or people.
type metrics struct {
	requests *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	logins   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lectern_http_request_seconds", Help: "HTTP requests by route and status.", Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10}}, []string{"route", "status"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lectern_http_refused_total", Help: "Refused requests by code."}, []string{"code"}),
		logins:   prometheus.NewCounter(prometheus.CounterOpts{Name: "lectern_logins_total", Help: "Sessions given out."}),
	}
	reg.MustRegister(m.requests, m.refused, m.logins)
	return m
}

// MetricsHandler serves a registry for the operator's own listener.
func MetricsHandler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{})
}
