package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"
)

// etcd is the API server's database.
type etcd struct {
	process *process
	url     string
}

// startEtcd starts a database with its data in folder and waits until it
// serves.
func startEtcd(folder, path string) (*etcd, error) {
	for range attempts {
		clients, err := freePort()
		if err != nil {
			return nil, err
		}
		peers, err := freePort()
		if err != nil {
			return nil, err
		}
		e := &etcd{url: "http://" + loopback(clients)}
		e.process, err = startProcess(folder, path,
			"--data-dir="+filepath.Join(folder, "etcd"), "--unsafe-no-fsync",
			"--listen-client-urls="+e.url, "--advertise-client-urls="+e.url,
			"--listen-peer-urls=http://"+loopback(peers))
		if err != nil {
			return nil, err
		}
		if await(e.process, startLimit, e.healthy) {
			return e, nil
		}
		e.process.kill()
	}
	return nil, fmt.Errorf("etcd does not start; %s", lastWords(folder, "etcd"))
}

// healthy tells whether the database serves.
func (e *etcd) healthy() bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(e.url + "/health")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// compact makes a change that no API object sees, then forgets every
// revision before it.
func (e *etcd) compact() error {
	var put struct {
		Header struct{ Revision string }
	}
	if err := e.call("put", map[string]any{"key": "d2VmdA==", "value": "d2VmdA=="}, &put); err != nil {
		return err
	}
	return e.call("compaction", map[string]any{"revision": put.Header.Revision, "physical": true}, &struct{}{})
}

// call is one call of etcd's gRPC gateway, whose JSON has bytes in base64 and
// 64-bit numbers as strings.
func (e *etcd) call(method string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Post(e.url+"/v3/kv/"+method, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("etcd: %s: %s: %s", method, answer.Status, why)
	}
	return json.NewDecoder(answer.Body).Decode(response)
}
