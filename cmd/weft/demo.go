package main

import (
	"context"
	"io"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/demo"
)

// demoCommand is the tour. It takes nothing but how much it logs.
type demoCommand struct{ Log logConfig }

func newDemoCommand() runner {
	return &demoCommand{Log: logConfig{Level: "error", Format: "text"}}
}

// Run shows the tour.
func (c *demoCommand) Run(ctx context.Context, out io.Writer) error {
	log, err := c.Log.logger()
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Config{Out: out, Terminal: console.IsTerminal(out), Log: log})
}
