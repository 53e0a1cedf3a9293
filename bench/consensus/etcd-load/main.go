// Puts values through one etcd member, as many at once as there are callers, and prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type result struct {
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
}

func main() {
	endpoint := flag.String("endpoint", "127.0.0.1:2379", "")
	callers := flag.Int("callers", 1, "")
	valueBytes := flag.Int("bytes", 128, "")
	warmUp := flag.Duration("warm-up", time.Second, "")
	measured := flag.Duration("measured", 5*time.Second, "")
	flag.Parse()

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		fail(err)
	}
	defer client.Close()

	begin := time.Now().Add(*warmUp)
	end := begin.Add(*measured)
	value := string(make([]byte, *valueBytes))
	latencies := make([][]time.Duration, *callers)
	var wait sync.WaitGroup
	for caller := range latencies {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for at := 0; ; at++ {
				started := time.Now()
				if started.After(end) {
					return
				}
				if _, err := client.Put(context.Background(), fmt.Sprintf("%d/%d", caller, at), value); err != nil {
					fail(err)
				}
				finished := time.Now()
				if started.After(begin) && finished.Before(end) {
					latencies[caller] = append(latencies[caller], finished.Sub(started))
				}
			}
		}()
	}
	wait.Wait()

	var all []time.Duration
	for _, each := range latencies {
		all = append(all, each...)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	at := func(part float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[int(part*float64(len(all)-1))].Microseconds()) / 1000
	}
	_ = json.NewEncoder(os.Stdout).Encode(result{PerSecond: float64(len(all)) / measured.Seconds(), P50Ms: at(0.5), P99Ms: at(0.99)})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
