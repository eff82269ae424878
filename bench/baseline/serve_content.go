// Serves the files of a folder as Go's standard library serves content: http.ServeContent, which
// uses sendfile(2); with a certificate and its key, over TLS 1.3. The baseline of bench/serve.ts.
//
//	serve_content ADDRESS FOLDER [CERTIFICATE KEY]
package main

import (
	"crypto/tls"
	"log"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	addr, folder := os.Args[1], os.Args[2]
	server := &http.Server{Addr: addr, Handler: contentOf(folder)}
	if len(os.Args) == 3 {
		log.Fatal(server.ListenAndServe())
	}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13}
	log.Fatal(server.ListenAndServeTLS(os.Args[3], os.Args[4]))
}

func contentOf(folder string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(filepath.Join(folder, filepath.Clean("/"+r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), file)
	})
}
