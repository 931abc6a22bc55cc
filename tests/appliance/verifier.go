// Verifies leaves by a CA as Ollama does, with Go's own verifier.
//
//	go run verifier.go CA.pem LEAF.pem NAME [LEAF.pem NAME ...]
//
// For each leaf it prints one line: "yes", or what is wrong.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	roots := x509.NewCertPool()
	roots.AddCert(read(os.Args[1]))
	for pair := os.Args[2:]; len(pair) > 1; pair = pair[2:] {
		_, err := read(pair[0]).Verify(x509.VerifyOptions{Roots: roots, DNSName: pair[1]})
		if err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("yes")
		}
	}
}

func read(path string) *x509.Certificate {
	rest, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			panic("no certificate in " + path)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			panic(err)
		}
		return certificate
	}
}
