package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

const (
	// warnBefore and urgeBefore are how long before a certificate expires the log warns of it, and has it be an error.
	warnBefore = 30 * 24 * time.Hour
	urgeBefore = 7 * 24 * time.Hour
	// warnAgain is how often it does.
	warnAgain = 24 * time.Hour
)

// expiredError says that the certificate, or the authority that has signed it, does not hold any more; nil: both do.
func expiredError(files cluster.TLSFiles, material *cluster.TLS, now time.Time) error {
	state, name := material.State(), material.Identity().Name
	if now.Before(state.Until) {
		return nil
	}
	date := state.Until.Format(time.DateOnly)
	e := &api.Error{Code: api.CodeTLS, Message: fmt.Sprintf("the certificate in %s has expired on %s", files.Certificate, date),
		Why: "nobody of the cluster lets in who shows it",
		Do:  []string{"node tls renew " + name, fmt.Sprintf("copy %s.pem and %[1]s-key.pem to %s and %s", name, files.Certificate, files.Key)}}
	if state.OfAuthority {
		e.Message = fmt.Sprintf("the authority in %s has expired on %s", files.Authorities, date)
		e.Why = "it has signed the certificate in " + files.Certificate + ", which nobody accepts now"
		e.Do = []string{"node tls rotate authority add", "then  node tls rotate authority use  and  node tls renew " + name + ", and copy the files"}
	}
	return e
}

// expiry tells the log of a certificate that expires soon.
type expiry struct {
	log  *slog.Logger
	told time.Time
	was  string // what was told
}

// look tells once a day, and when it gets worse.
func (e *expiry) look(state cluster.TLSState, now time.Time) {
	left, event, level := state.Until.Sub(now), "certificate expires soon", slog.LevelWarn
	switch {
	case left >= warnBefore:
		e.told, e.was = time.Time{}, ""
		return
	case left <= 0:
		event, level = "certificate has expired", slog.LevelError
	case left < urgeBefore:
		level = slog.LevelError
	}
	if what := event + level.String(); what != e.was || now.Sub(e.told) >= warnAgain {
		e.told, e.was = now, what
		e.log.Log(context.Background(), level, event, "until", state.Until.Format(time.DateOnly), "days", int(left/(24*time.Hour)), "of_authority", state.OfAuthority)
	}
}

// takeUpCertificates looks at the files of the certificate again and again, has what replaces them used, and the log told
// when it expires. It returns when ctx ends.
func takeUpCertificates(ctx context.Context, material *cluster.TLS, log *slog.Logger) {
	material.LogTo(log)
	e := &expiry{log: log}
	ticks := time.NewTicker(takeUpEvery)
	defer ticks.Stop()
	for {
		_ = material.Refresh() // the log tells
		e.look(material.State(), time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}
