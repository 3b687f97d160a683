package main

import (
	"os"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/internal/console"
)

// logConfig is the part of a configuration that makes a logger.
type logConfig struct {
	Level  string `description:"The least level that is logged: debug, info, warn or error."`
	Format string `description:"How log lines are written: json or text."`
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

func defaultLog(format string) logConfig { return logConfig{Level: "info", Format: format} }
