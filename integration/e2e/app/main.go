// Command app is what the cluster suite runs in pods: `app server` answers in
// every protocol that Weft carries and says who answered; `app caller` makes
// calls from inside the cluster when it is told to over HTTP; `app get URL`
// prints a URL's content, for a network that the suite itself is not in.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	role := ""
	if len(os.Args) > 1 && (os.Args[1] != "get" || len(os.Args) > 2) {
		role = os.Args[1]
	}
	var err error
	switch role {
	case "server":
		err = serve()
	case "caller":
		err = callFor()
	case "get":
		err = get(os.Args[2])
	default:
		err = fmt.Errorf("usage: app server|caller|get URL")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func get(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
