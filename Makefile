# Weft's everyday commands. `make help` lists them.
VERSION ?= v0.1.0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.7.0
LDFLAGS = -s -w -X main.version=$(VERSION)

.PHONY: build demo test race e2e check image manifests bench million help

help: ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

build: ## bin/weft for this machine
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/weft ./cmd/weft

demo: build ## watch a canary move, on this machine, without a cluster
	bin/weft demo

test: ## every test that needs no root (cold: builds Kubernetes and CoreDNS once)
	go run ./integration/tools/build >/dev/null
	go test -timeout 20m ./...

race: ## the packages again under the race detector (needs a C compiler)
	go test -race -timeout 20m ./pkg/... ./internal/... ./cmd/...

e2e: ## the cluster suite: two real nodes on this machine (root), or the cluster of KUBECONFIG; and a real Prometheus
	go test -tags e2e -count 1 -p 1 -v -timeout 45m ./integration/e2e ./integration/addons

check: ## format, vet, staticcheck, house rules, generated files, other platforms
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	go vet ./...
	go vet -tags e2e ./integration/...
	go run $(STATICCHECK) ./...
	go mod verify
	go mod tidy -diff
	go test ./internal/... ./manifests/...
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/weft
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/weft

image: ## dist/weft-image.tar for docker load, kind load image-archive, ctr images import
	go run ./internal/image/build -version $(VERSION) -out dist/weft-image.tar

manifests: ## manifests/install.yaml from the kustomize base
	go run -C manifests/verify . -out ../install.yaml ..

bench: ## the rebuild, the long tests of HTTP/1.1, and the data plane beside nginx and HAProxy
	go test -run '^$$' -bench . -cpu 1 ./pkg/...
	WEFT_MUCH=1 go test -count 1 -run 'EndOfStream|B17|B51|B55' ./pkg/nodeproxy/http1
	go run ./integration/bench
	go run ./integration/bench -http2
	go run ./integration/bench -tcp
	go run ./integration/bench -open
	go run ./integration/bench -cost
	go run ./integration/bench -memory

million: ## WAY=http1, http2 or translated: a million POSTs to endpoints that close idle connections after 1 to 5 ms, with and without retries
	WEFT_MUCH=1 go test -count 1 -v -timeout 60m -run 'PostsArriveOnce/$(WAY)' ./pkg/nodeproxy
