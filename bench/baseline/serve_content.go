// Serves the files of a folder as Go's standard library serves content: http.ServeContent, which
// uses sendfile(2). The baseline of bench/serve.ts.
package main

import (
	"log"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	addr, folder := os.Args[1], os.Args[2]
	log.Fatal(http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	})))
}
