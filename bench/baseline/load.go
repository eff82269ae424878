// Fetches a URL again and again on several connections, and throws the bytes away. The same load
// for every server that bench/serve.ts compares.
//
// Prints one JSON object: seconds until the last stream ended, bytes of all bodies, number of
// requests, and seconds until the first body's first byte.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

type result struct {
	Seconds          float64 `json:"seconds"`
	Bytes            int64   `json:"bytes"`
	Requests         int     `json:"requests"`
	FirstByteSeconds float64 `json:"firstByteSeconds"`
}

func main() {
	url := flag.String("url", "", "what to fetch")
	streams := flag.Int("streams", 1, "connections, each with a stream of requests")
	requests := flag.Int("requests", 1, "requests of each stream, one after the other")
	flag.Parse()

	var mutex sync.Mutex
	var all sync.WaitGroup
	var failure error
	total := result{}
	start := time.Now()
	for range *streams {
		all.Add(1)
		go func() {
			defer all.Done()
			own, err := stream(*url, *requests, start)
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				failure = err
			}
			total.Bytes += own.Bytes
			total.Requests += own.Requests
			if total.FirstByteSeconds == 0 || own.FirstByteSeconds < total.FirstByteSeconds {
				total.FirstByteSeconds = own.FirstByteSeconds
			}
		}()
	}
	all.Wait()
	total.Seconds = time.Since(start).Seconds()
	if failure != nil {
		fmt.Fprintln(os.Stderr, failure)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(total)
}

func stream(url string, requests int, start time.Time) (result, error) {
	// A transport of its own makes a connection of its own.
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, ReadBufferSize: 64 << 10}}
	buffer := make([]byte, 256<<10)
	own := result{}
	for range requests {
		response, err := client.Get(url)
		if err != nil {
			return own, err
		}
		if response.StatusCode != http.StatusOK {
			return own, fmt.Errorf("%s: %s", url, response.Status)
		}
		var received int64
		for {
			count, err := response.Body.Read(buffer)
			if received == 0 && count > 0 && own.FirstByteSeconds == 0 {
				own.FirstByteSeconds = time.Since(start).Seconds()
			}
			received += int64(count)
			if err == io.EOF {
				break
			}
			if err != nil {
				return own, err
			}
		}
		response.Body.Close()
		if received != response.ContentLength {
			return own, fmt.Errorf("%s: %d bytes of %d", url, received, response.ContentLength)
		}
		own.Bytes += received
		own.Requests++
	}
	return own, nil
}
