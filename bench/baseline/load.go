// Fetches a URL again and again on several connections, and throws the bytes away. The same load
// for every server that bench/serve.ts compares.
//
// Prints one JSON object: seconds until the last stream ended, bytes of all bodies, number of
// requests, and seconds until the first body's first byte.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
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
	certificate := flag.String("certificate", "", "file with the certificate of an https server")
	name := flag.String("name", "", "name in that certificate")
	header := flag.String("header", "", "a header, name:value")
	flag.Parse()
	settings := &tls.Config{ServerName: *name}
	if *certificate != "" {
		pem, err := os.ReadFile(*certificate)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		settings.RootCAs = x509.NewCertPool()
		settings.RootCAs.AppendCertsFromPEM(pem)
	}

	var mutex sync.Mutex
	var all sync.WaitGroup
	var failure error
	total := result{}
	start := time.Now()
	for range *streams {
		all.Add(1)
		go func() {
			defer all.Done()
			own, err := stream(*url, *requests, start, settings, *header)
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

func stream(url string, requests int, start time.Time, settings *tls.Config, header string) (result, error) {
	// A transport of its own makes a connection of its own.
	client := &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		ReadBufferSize:     64 << 10,
		TLSClientConfig:    settings.Clone(),
	}}
	buffer := make([]byte, 256<<10)
	own := result{}
	for range requests {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			return own, err
		}
		if name, value, found := strings.Cut(header, ":"); found {
			request.Header.Set(name, value)
		}
		response, err := client.Do(request)
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
