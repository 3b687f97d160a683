package main

import (
	"io"
	"os"
	"slices"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"github.com/weft-mesh/weft/pkg/tracing"
)

// logConfig is the part of a configuration that makes a logger.
type logConfig struct {
	Level  string `description:"The least level that is logged: debug, info, warn or error."`
	Format string `description:"How log lines are written: json or text."`
}

// tracingConfig is the part of a configuration that says where spans go.
type tracingConfig struct {
	Endpoint string `description:"The OpenTelemetry collector that takes spans: grpc://host:4317 or http://host:4318, by TLS grpcs:// or https://; by default none."`
	Sample   int    `description:"How many of 100 requests are traced whose caller has not decided it."`
}

func (c tracingConfig) check() error {
	if c.Sample < 0 || c.Sample > 100 {
		return usageError("--tracing.sample=%d: takes a number from 0 to 100", c.Sample)
	}
	if c.Endpoint == "" {
		return nil
	}
	if _, err := tracing.ParseEndpoint(c.Endpoint); err != nil {
		return usageError("--tracing.endpoint=%w", err)
	}
	return nil
}

func (c tracingConfig) to(log zerolog.Logger) tracing.Config {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return tracing.Config{Endpoint: c.Endpoint, Sample: c.Sample, Node: host, Log: log}
}

// logger returns a logger to standard error.
func (c logConfig) logger() (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil || c.Level == "" {
		return zerolog.Nop(), usageError("--log.level=%s: takes debug, info, warn or error", c.Level)
	}
	switch c.Format {
	case "json":
		return zerolog.New(os.Stderr).Level(level).With().Timestamp().Logger(), nil
	case "text":
		writer := zerolog.ConsoleWriter{Out: os.Stderr, NoColor: !console.IsTerminal(os.Stderr)}
		return zerolog.New(writer).Level(level).With().Timestamp().Logger(), nil
	}
	return zerolog.Nop(), usageError("--log.format=%s: takes json or text", c.Format)
}

// accessLogConfig is the part of a configuration that makes an access log.
type accessLogConfig struct {
	Mode   string `description:"Which requests, TCP connections and UDP sessions are logged: off, all, errors or sampled; a Service may say otherwise by weft.mesh/access-log."`
	Format string `description:"How they are written to standard output: json or text."`
	Sample int    `description:"How many of 100 sampled takes beside the errors."`
}

func defaultAccessLog(format string) accessLogConfig {
	return accessLogConfig{Mode: telemetry.LogOff, Format: format, Sample: 1}
}

func (c accessLogConfig) check() error {
	switch {
	case !slices.Contains([]string{telemetry.LogOff, telemetry.LogAll, telemetry.LogErrors, telemetry.LogSampled}, c.Mode):
		return usageError("--accessLog.mode=%s: takes off, all, errors or sampled", c.Mode)
	case c.Format != "json" && c.Format != "text":
		return usageError("--accessLog.format=%s: takes json or text", c.Format)
	case c.Sample < 0 || c.Sample > 100:
		return usageError("--accessLog.sample=%d: takes a number from 0 to 100", c.Sample)
	}
	return nil
}

// to is the access log that writes to out.
func (c accessLogConfig) to(out io.Writer) telemetry.AccessLogConfig {
	return telemetry.AccessLogConfig{Mode: c.Mode, Sample: c.Sample, Out: out, Text: c.Format == "text"}
}

func defaultLog(format string) logConfig { return logConfig{Level: "info", Format: format} }
